/* fuzz_config.c - one text as a configuration file, as an option file of TLS,
 * and as a command line. Each is taken, or refused with lines for people. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/wr.h"
#include "daemon/config.h"
#include "daemon/options.h"
#include "daemon/tls_options.h"
#include "term/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A file that is only memory; the same one every time. */
static const char *
write_file(const uint8_t *p, size_t n)
{
    static char path[32];
    static int fd = -1;

    if (fd < 0)
        fd = memfd_create("fuzz", 0);
    assert(fd >= 0 && ftruncate(fd, 0) == 0);
    assert(pwrite(fd, p, n, 0) == (ssize_t)n);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

static void
check_outcome(int rc, const struct tb_wr *errors, const struct tb_settings *s)
{
    assert(rc < 0 ? errors->len > 0 && errors->buf[errors->len - 1] == '\n'
                  : errors->len == 0);
    for (int id = 0; id < TB_SET_COUNT; id++)
        assert(tb_settings_shown(s, (enum tb_set)id));
}

static void
read_config(const char *path)
{
    struct tb_wr errors = { 0 };
    struct tb_settings s;
    struct tb_config c;
    int rc;

    tb_settings_init(&s);
    tb_settings_put(&s, TB_SET_CONFIG, path, TB_RANK_FLAG, "flag", &errors);
    rc = tb_config_read(&c, &s, &errors);
    check_outcome(rc, &errors, &s);
    tb_config_default(&c, &s, "h", &errors);
    tb_config_fini(&c);
    tb_settings_fini(&s);
    tb_wr_free(&errors);
}

/* TLS has flags too; its files are read last. */
static void
read_flags(const char *line)
{
    enum { MOST = 64 };
    char *argv[MOST + 1] = { (char *)(uintptr_t) "tiebeam" };
    struct tb_words words = { 0 }, rest = { 0 };
    struct tb_wr errors = { 0 };
    struct tb_settings s;
    struct tb_tls *tls = NULL;
    int argc = 1, rc;

    tb_settings_init(&s);
    tb_words_split(&words, line);
    for (size_t i = 0; i < words.n && argc < MOST; i++)
        argv[argc++] = words.v[i];
    rc = tb_options_read(&s, argc, argv, &rest, &errors);
    if (rc == 0)
        rc = tb_tls_read(&s, &tls, &errors);
    check_outcome(rc, &errors, &s);
    tb_tls_free(tls);
    tb_words_fini(&words);
    tb_words_fini(&rest);
    tb_settings_fini(&s);
    tb_wr_free(&errors);
}

static void
read_tls_options(const char *path)
{
    char line[96];

    snprintf(line, sizeof(line), "-proto_dist inet_tls -ssl_dist_optfile %s",
             path);
    read_flags(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    char *line = malloc(n + 1);
    const char *path = write_file(p, n);

    assert(line);
    if (n > 0)
        memcpy(line, p, n);
    line[n] = '\0';
    clearenv();
    setenv("HOST", "a \"b\\", 1);
    tb_atoms_ref();
    read_config(path);
    read_tls_options(path);
    read_flags(line);
    tb_atoms_unref();
    free(line);
    return 0;
}
