/* pattern.h - the term notation, compiled (see tb_match in tiebeam.h). */
#ifndef TB_TERM_PATTERN_H
#define TB_TERM_PATTERN_H

#include "base/limits.h"
#include "tiebeam.h"

/* What pattern.c compiles to, and build.c builds from, in prefix order: each
 * container is followed by its children. */
enum tb_pattern_kind {
    TB_OP_ANY,
    TB_OP_HOLE,
    TB_OP_ATOM,
    TB_OP_INT,
    TB_OP_STR,
    TB_OP_BIN,
    TB_OP_TUPLE,
    TB_OP_LIST,
    TB_OP_CONS, /* n elements, then the tail */
    TB_OP_MAP   /* n pairs: key, value */
};

struct tb_pattern_op {
    uint8_t kind; /* enum tb_pattern_kind */
    uint8_t type; /* enum tb_type of a hole */
    uint16_t n;   /* children, or the length of the text */
    union {
        int64_t i;
        const char *text; /* into the source, which must outlive this */
    };
};

struct tb_pattern {
    uint16_t n, holes;
    struct tb_pattern_op op[TB_MAX_OPS];
};

/* tb_pattern_parse - compile; borrows source. 0, -TB_EPATTERN, -TB_ELIMIT.
 * tb_pattern_new - the same into memory of the right size (tb_free), or NULL
 * and *error. */
int tb_pattern_parse(struct tb_pattern *p, const char *source);
struct tb_pattern *tb_pattern_new(const char *source, int *error);

/* tb_pattern_match - 1 and the holes, or 0. With shape_only a typed hole takes
 * any type: does the term have this form at all? */
int tb_pattern_match(const struct tb_pattern *p, struct tb_term t,
                     bool shape_only, struct tb_val out[TB_MAX_HOLES]);
/* tb_pattern_build - 0 or the error; asserts that args fit the holes. */
int tb_pattern_build(const struct tb_pattern *p, struct tb_wr *w,
                     struct tb_args args);

#endif
