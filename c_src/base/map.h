/* map.h - hash map from bytes to pointers, with a keyed hash: peers choose
 * many of the keys. */
#ifndef TB_BASE_MAP_H
#define TB_BASE_MAP_H

#include <stddef.h>

struct tb_map;

/* tb_map_new - an empty map, or NULL. tb_map_free - frees the map, not what
 * the values point to; NULL is harmless. */
struct tb_map *tb_map_new(void);
void tb_map_free(struct tb_map *m);

/* tb_map_put - 0, -EEXIST (nothing changed) or -ENOMEM. The key is copied.
 * tb_map_get, tb_map_take - the value or NULL; take also removes it. */
int tb_map_put(struct tb_map *m, const void *key, size_t n, void *value);
void *tb_map_get(const struct tb_map *m, const void *key, size_t n);
void *tb_map_take(struct tb_map *m, const void *key, size_t n);
size_t tb_map_count(const struct tb_map *m);

/* tb_map_each - calls fn with every value, in the order of insertion; fn may
 * remove the value that it is given, and no other. */
void tb_map_each(struct tb_map *m, void (*fn)(void *ctx, void *value),
                 void *ctx);

#endif
