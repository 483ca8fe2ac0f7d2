/* mem.h - allocation: tb_try_* below node/, tb_new() and tb_alloc() above. */
#ifndef TB_BASE_MEM_H
#define TB_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* tb_try_alloc - zeroed memory, or NULL. tb_try_realloc - as realloc. */
void *tb_try_alloc(size_t bytes);
void *tb_try_realloc(void *p, size_t bytes);

/* tb_mem_fail_after - tests: let the n-th tb_try_* from now fail, and all that
 * follow it; 0 ends that. tb_mem_fail_one - that one alone. Both return whether
 * one has failed since they were called before. Of this thread. */
bool tb_mem_fail_after(unsigned long n);
bool tb_mem_fail_one(unsigned long n);

/* tb_mem_give_back - free memory goes to the system again, where the C library
 * can do that; else only what lies at the end of the heap does. */
void tb_mem_give_back(void);

/* tb_strdup_n - n bytes and a NUL; never NULL (aborts). */
char *tb_strdup_n(const char *s, size_t n);

#endif
