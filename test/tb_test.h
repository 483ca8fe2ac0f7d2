/* tb_test.h - what the unit tests share: terms from text, failing memory. */
#ifndef TB_TEST_H
#define TB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "tiebeam.h"

/* tb_test_term - the term that the text is; it lives until tb_test_free().
 * tb_test_text - a term printed; the same. A text that does not parse fails the
 * test. */
struct tb_term tb_test_term(const char *text);
const char *tb_test_text(struct tb_term t);
void tb_test_free(void);

/* assert_term - the term prints as the one that the text is. */
#define assert_term(term, text)                                                \
    tb_test_assert_term((term), (text), __FILE__, __LINE__)
void tb_test_assert_term(struct tb_term t, const char *text, const char *file,
                         int line);

/* TERM - a checked term of these bytes, which are a string literal.
 * assert_put - the writer holds those bytes; it is empty again. */
#define TERM(s) tb_test_bytes(s, sizeof(s) - 1)
#define assert_put(w, s)                                                       \
    do {                                                                       \
        assert_true(tb_test_holds(w, s, sizeof(s) - 1));                       \
        tb_wr_free(w);                                                         \
    } while (0)
struct tb_term tb_test_bytes(const char *p, size_t n);
bool tb_test_holds(const struct tb_wr *w, const char *p, size_t n);

/* tb_test_pid - the pid <a@b.Id.2> of creation 3. tb_test_ref - a reference of
 * a@b with n words and creation 9. */
struct tb_pid tb_test_pid(uint32_t id);
struct tb_ref tb_test_ref(uint32_t n);

/* Of a group: a table of node names, and the end of all that is kept. */
int tb_test_atoms(void **state);
int tb_test_atoms_gone(void **state);

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* TB_FAIL_EACH_ALLOC - run the body n times, the first time with its first
 * allocation and all that follow failing, then from its second on, and so
 * forth. */
#define TB_FAIL_EACH_ALLOC(n, ...)                                             \
    do {                                                                       \
        for (unsigned long tb_nth_ = 1; tb_nth_ <= (n); tb_nth_++) {           \
            tb_mem_fail_after(tb_nth_);                                        \
            __VA_ARGS__;                                                       \
            tb_mem_fail_after(0);                                              \
        }                                                                      \
    } while (0)

/* tb_test_no_memory - run a scenario with its first allocation failing, then
 * with its second, until it needs no more of them; each time with all that
 * follow failing too, and then alone. The scenario returns 0 where it got what
 * it should, and then it really has it, or the error it was told. */
void tb_test_no_memory(const char *name, int (*scenario)(void));

#endif
