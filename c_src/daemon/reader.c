/* reader.c - a file of Erlang terms, and errors that name the place in it.
 * In Erlang: file:consult/1. Owns: the file as a term. Thread: any. */
#include "daemon/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/value.h"

#define SHOWN_MAX 60 /* characters of a wrong value that a message repeats */

int
tb_reader_consult(struct tb_reader *r, const struct tb_wr *text)
{
    struct tb_text_error where;
    int err = tb_consult(&r->body, (const char *)text->buf, text->len,
                         &r->lines, &where);

    if (err == -TB_ESYNTAX)
        tb_wr_printf(r->errors, "%s:%u: %s (column %u)\n", r->path, where.line,
                     where.what, where.column);
    else if (err < 0)
        tb_wr_printf(r->errors, "%s:1: %s\n", r->path, tb_strerror(err));
    return err;
}

bool
tb_reader_one_list(struct tb_reader *r, struct tb_term *list)
{
    struct tb_elems all, in_it;
    struct tb_term item;

    tb_elems_open(&all, tb_wr_term(&r->body));
    if (!tb_elems_next(&all, list)) {
        tb_wr_printf(r->errors, "%s:1: expected one list, found nothing\n",
                     r->path);
        return false;
    }
    if (tb_elems_next(&all, &item))
        tb_problem(r, item.p, "expected one list, found a second term");
    if (tb_elems_open(&in_it, *list))
        return true;
    tb_unexpected(r, *list, "the file", "a list");
    return false;
}

void
tb_reader_fini(struct tb_reader *r)
{
    tb_wr_free(&r->body);
    tb_wr_free(&r->lines);
}

/* ------------------------------------------------------------ errors -- */

unsigned
tb_line_of(const struct tb_reader *r, const void *at)
{
    size_t offset = (size_t)((const uint8_t *)at - r->body.buf);
    size_t n = r->lines.len / sizeof(struct tb_line), low = 0;
    struct tb_line line = { 0, 1 };

    while (low < n) {
        size_t mid = low + (n - low) / 2;
        struct tb_line l;

        memcpy(&l, r->lines.buf + mid * sizeof(l), sizeof(l));
        if (l.at > offset) {
            n = mid;
            continue;
        }
        line = l;
        low = mid + 1;
    }
    return line.line;
}

void
tb_problem(struct tb_reader *r, const void *at, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    tb_wr_printf(r->errors, "%s:%u: %s\n", r->path, tb_line_of(r, at), text);
}

void
tb_unexpected(struct tb_reader *r, struct tb_term found, const char *what,
              const char *expected)
{
    struct tb_wr w = { 0 };
    struct tb_val h[TB_MAX_HOLES];

    tb_wr_str(&w, "\"");
    if (tb_match("[]", found, h) != 1 && tb_match("L:list", found, h) == 1 &&
        tb_value_text(TB_SET_TEXT, found, &w)) {
        tb_wr_str(&w, "\"");
    } else {
        w.len = 0;
        tb_print(&w, found);
    }
    tb_problem(r, found.p, "%s: expected %s, found %.*s%s", what, expected,
               (int)(w.len < SHOWN_MAX ? w.len : SHOWN_MAX),
               (const char *)w.buf, w.len > SHOWN_MAX ? "..." : "");
    tb_wr_free(&w);
}

/* ------------------------------------------------------------- pairs -- */

static bool
given_before(struct tb_term list, const struct tb_text *key)
{
    struct tb_elems e;
    struct tb_term item;
    struct tb_val h[TB_MAX_HOLES];

    tb_elems_open(&e, list);
    while (tb_elems_next(&e, &item))
        if (tb_match("{Key:atom, _}", item, h) == 1) {
            if (h[0].text.p == key->p)
                return false;
            if (h[0].text.n == key->n &&
                memcmp(h[0].text.p, key->p, key->n) == 0)
                return true;
        }
    return false;
}

void
tb_each_pair(struct tb_reader *r, const char *section, struct tb_term list,
             tb_pair_fn fn)
{
    struct tb_elems e;
    struct tb_term item;
    struct tb_val h[TB_MAX_HOLES];

    if (!tb_elems_open(&e, list)) {
        tb_unexpected(r, list, section, "a list of {Key, Value}");
        return;
    }
    while (tb_elems_next(&e, &item))
        if (tb_match("{Key:atom, Value}", item, h) != 1)
            tb_unexpected(r, item, section, "{Key, Value}");
        else if (given_before(list, &h[0].text))
            tb_problem(r, h[0].text.p, "%s: %.*s is given twice", section,
                       (int)h[0].text.n, h[0].text.p);
        else
            fn(r, section, h[0].text, h[1].term);
}

static void
unknown_key(struct tb_reader *r, const struct tb_rule *rules, const char *what,
            struct tb_text key)
{
    char name[64];
    struct tb_nearest near = { .word = name };

    snprintf(name, sizeof(name), "%.*s", (int)key.n, key.p);
    for (const struct tb_rule *u = rules; u->key; u++)
        if (u->pattern)
            tb_nearest_try(&near, u->key);
    tb_problem(r, key.p, "%s: unknown key%s%s%s", what,
               near.best ? ", did you mean " : "", near.best ? near.best : "",
               near.best ? "?" : "");
}

void
tb_check_pair(struct tb_reader *r, const struct tb_rule *rules,
              const char *section, struct tb_text key, struct tb_term value)
{
    const char *expected = NULL;
    char what[192];
    int result = tb_rule_check(rules, key, value, &expected);

    snprintf(what, sizeof(what), "%s.%.*s", section, (int)key.n, key.p);
    if (result == 0)
        tb_unexpected(r, value, what, expected);
    else if (result == -TB_ENOTSUP)
        tb_problem(r, key.p, "%s: not supported in this version", what);
    else if (result < 0)
        unknown_key(r, rules, what, key);
}
