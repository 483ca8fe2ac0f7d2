/* words.c - lists of words, and texts that are split into them.
 * In Erlang: how erl reads ERL_FLAGS and -args_file.
 * Owns: its words. Thread: any. */
#include "daemon/options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

void
tb_words_add(struct tb_words *w, const char *text, size_t n)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        char **v = tb_alloc(cap * sizeof(*v));

        if (w->n)
            memcpy(v, w->v, w->n * sizeof(*v));
        tb_free(w->v);
        w->v = v;
        w->cap = cap;
    }
    w->v[w->n++] = tb_copy_n(text, n);
}

void
tb_words_fini(struct tb_words *w)
{
    for (size_t i = 0; i < w->n; i++)
        tb_free(w->v[i]);
    tb_free(w->v);
    *w = (struct tb_words){ 0 };
}

static const char *
skip_blank(const char *p)
{
    for (;;) {
        p += strspn(p, " \t\r\n");
        if (*p != '#')
            return p;
        p += strcspn(p, "\n");
    }
}

/* One word from p, without its quotes; returns what follows it. */
static const char *
take_word(const char *p, char *out, size_t *n)
{
    char quote = 0;

    for (*n = 0; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
        if (*p == '\\' && p[1] && quote != '\'')
            out[(*n)++] = *++p;
        else if (quote ? *p == quote : *p == '"' || *p == '\'')
            quote = quote ? 0 : *p;
        else
            out[(*n)++] = *p;
    }
    return p;
}

void
tb_words_split(struct tb_words *w, const char *text)
{
    char *word = tb_alloc(strlen(text) + 1);
    size_t n;

    for (const char *p = skip_blank(text); *p; p = skip_blank(p)) {
        p = take_word(p, word, &n);
        tb_words_add(w, word, n);
    }
    tb_free(word);
}

int
tb_file_text(struct tb_wr *w, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t total = 0;
    ssize_t n = -1;
    char buf[4096];

    if (fd < 0)
        return -errno;
    while (total <= FILE_MAX && (n = read(fd, buf, sizeof(buf))) > 0) {
        tb_wr_bytes(w, buf, (size_t)n);
        total += (size_t)n;
    }
    if (n < 0)
        n = -errno;
    close(fd);
    return total > FILE_MAX ? -EFBIG : (int)n;
}
