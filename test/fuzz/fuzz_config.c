/* fuzz_config.c - a configuration file, and the same text as a command line.
 * Either is taken or refused with a line for people. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/wr.h"
#include "daemon/options.h"
#include "daemon/sections.h"
#include "term/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
show(const struct tb_settings *s)
{
    for (int id = 0; id < TB_SET_COUNT; id++)
        assert(tb_settings_shown(s, (enum tb_set)id));
}

/* As tb_config_read() does with what it has read. */
static void
read_file(const struct tb_wr *raw)
{
    struct tb_wr text = { .max = 1 << 20 }, errors = { 0 };
    struct tb_settings s;
    struct tb_config c = { .path = tb_copy("f") };
    struct tb_sections to = { &c, &s };
    struct tb_reader r = { .path = c.path, .errors = &errors, .ctx = &to };

    tb_settings_init(&s);
    tb_config_expand(&text, raw, c.path, &errors);
    if (errors.len == 0 && tb_reader_consult(&r, &text) == 0)
        tb_sections_check(&r);
    c.body = r.body;
    r.body = (struct tb_wr){ 0 };
    assert(errors.len == 0 || errors.buf[errors.len - 1] == '\n');
    tb_config_default(&c, "h");
    assert(tb_config_same(&c, &c));
    show(&s);
    tb_config_fini(&c);
    tb_settings_fini(&s);
    tb_reader_fini(&r);
    tb_wr_free(&errors);
    tb_wr_free(&text);
}

static void
read_flags(const char *line)
{
    enum { MOST = 64 };
    char *argv[MOST + 1] = { (char *)(uintptr_t) "tiebeam" };
    struct tb_words words = { 0 }, rest = { 0 };
    struct tb_wr errors = { 0 };
    struct tb_settings s;
    int argc = 1;

    tb_settings_init(&s);
    tb_words_split(&words, line);
    for (size_t i = 0; i < words.n && argc < MOST; i++)
        argv[argc++] = words.v[i];
    if (tb_options_read(&s, argc, argv, &rest, &errors) < 0)
        assert(errors.len > 0);
    show(&s);
    tb_words_fini(&words);
    tb_words_fini(&rest);
    tb_settings_fini(&s);
    tb_wr_free(&errors);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_wr raw = { 0 };

    clearenv();
    setenv("HOST", "a \"b\\", 1);
    tb_atoms_ref();
    tb_wr_bytes(&raw, p, n);
    read_file(&raw);
    tb_wr_u8(&raw, 0);
    read_flags((char *)raw.buf);
    tb_wr_free(&raw);
    tb_atoms_unref();
    return 0;
}
