/* tb_test.c - what the unit tests share.
 * Owns: every buffer it gave out, until tb_test_free(). */
#include "tb_test.h"

#include <string.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/ident.h"

struct kept {
    struct kept *next;
    struct tb_wr w;
};

static struct kept *kept_all;

static struct tb_wr *
keep(void)
{
    struct kept *k = tb_new(struct kept);

    k->next = kept_all;
    kept_all = k;
    return &k->w;
}

void
tb_test_free(void)
{
    while (kept_all) {
        struct kept *k = kept_all;

        kept_all = k->next;
        tb_wr_free(&k->w);
        tb_free(k);
    }
}

struct tb_term
tb_test_term(const char *text)
{
    struct tb_text_error error = { 0 };
    struct tb_wr *w = keep();

    if (tb_parse(w, text, strlen(text), &error) < 0)
        fail_msg("\"%s\" is no term: column %u: %s", text, error.column,
                 error.what);
    return tb_wr_term(w);
}

const char *
tb_test_text(struct tb_term t)
{
    struct tb_wr *w = keep();

    if (t.n == 0)
        return "(nothing)";
    tb_print(w, t);
    tb_wr_u8(w, 0);
    if (w->bad)
        fail_msg("the term cannot be printed");
    return (const char *)w->buf;
}

void
tb_test_assert_term(struct tb_term t, const char *text, const char *file,
                    int line)
{
    const char *got = tb_test_text(t);
    const char *want = tb_test_text(tb_test_term(text));

    if (strcmp(got, want) == 0)
        return;
    print_error("got      %s\nexpected %s\n", got, want);
    _fail(file, line);
}

struct tb_term
tb_test_bytes(const char *p, size_t n)
{
    struct tb_term t;

    assert_int_equal(tb_check_whole(p, n, &t), 0);
    return t;
}

bool
tb_test_holds(const struct tb_wr *w, const char *p, size_t n)
{
    return !w->bad && w->len == n && memcmp(w->buf, p, n) == 0;
}

int
tb_test_atoms(void **state)
{
    (void)state;
    tb_atoms_ref();
    return 0;
}

int
tb_test_atoms_gone(void **state)
{
    (void)state;
    tb_test_free();
    tb_atoms_unref();
    return 0;
}

struct tb_pid
tb_test_pid(uint32_t id)
{
    return (struct tb_pid){ tb_intern(tb_text_of("a@b")), id, 2, 3 };
}

struct tb_ref
tb_test_ref(uint32_t n)
{
    return (struct tb_ref){ tb_intern(tb_text_of("a@b")), 9, n, { 7 } };
}

/* How often it was told an error. */
static unsigned
fail_each(const char *name, int (*scenario)(void), bool (*fault)(unsigned long))
{
    unsigned errors = 0;
    bool failed = true;

    for (unsigned long n = 1; failed; n++) {
        int rc;

        fault(n);
        rc = scenario();
        failed = fault(0);
        if (rc < 0 && !failed)
            fail_msg("%s gives %d though no allocation failed", name, rc);
        errors += rc < 0;
    }
    return errors;
}

void
tb_test_no_memory(const char *name, int (*scenario)(void))
{
    assert_int_equal(scenario(), 0);
    if (fail_each(name, scenario, tb_mem_fail_after) == 0 ||
        fail_each(name, scenario, tb_mem_fail_one) == 0)
        fail_msg("%s never tells of failing memory", name);
}
