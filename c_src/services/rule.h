/* rule.h - which options a service takes, as data. */
#ifndef TB_SERVICES_RULE_H
#define TB_SERVICES_RULE_H

#include "tiebeam.h"

/* A form that a key's value may have. A key with several forms has several
 * rows; expected, on its first, tells people all of them. */
struct tb_rule {
    const char *key;
    const char *pattern; /* NULL: a key of a later version */
    /* NULL, or a further check of the holes. */
    bool (*also)(const struct tb_val *holes);
    const char *expected;
};

/* tb_rule_check - 1: the value is fine; 0: it is not, and *expected tells what
 * would be; -TB_ENOTSUP: of a later version; -TB_EBADARG: no such key. */
int tb_rule_check(const struct tb_rule *rules, struct tb_text key,
                  struct tb_term value, const char **expected);

/* tb_rule_all - whether it is a proper list, and each element passes.
 * tb_rule_count - how many elements a list has; 0 where it is none.
 * tb_rule_node - a node name as an atom; its value, or 0.
 * tb_rule_is_node, tb_rule_are_nodes - whether it is one; whether the first
 * hole is a proper list of them. tb_rule_chars - whether it is a text of 1 to
 * 255 bytes. tb_rule_level - whether it is a level of the log, and which. */
bool tb_rule_all(struct tb_term list, bool (*ok)(struct tb_term));
size_t tb_rule_count(struct tb_term list);
tb_atom tb_rule_node(struct tb_term t);
bool tb_rule_is_node(struct tb_term t);
bool tb_rule_are_nodes(const struct tb_val *holes);
bool tb_rule_chars(struct tb_term t);
bool tb_rule_level(struct tb_text name, enum tb_level *level);

#endif
