/* cookie.c - the cluster's secret, by erl's rules.
 * In Erlang: auth.erl. Owns: nothing. Thread: before the loop.
 * Source: auth.erl. */
#include "daemon/cookie.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_COOKIE_CHARS 20 /* as erl makes them */
#define FILE_BYTES       1024

static int
refuse(struct tb_wr *errors, const char *path, const char *why)
{
    tb_wr_printf(errors, "tiebeam: Cookie file %s %s\n", path, why);
    return -EPERM;
}

static int
refuse_errno(struct tb_wr *errors, const char *what, const char *path)
{
    tb_wr_printf(errors, "tiebeam: cannot %s cookie file %s: %s\n", what, path,
                 strerror(errno));
    return -EPERM;
}

static int
parse_cookie(char *text, const char *path, struct tb_secret *out,
             struct tb_wr *errors)
{
    size_t n = strlen(text);

    while (n > 0 && strchr("\r\n ", text[n - 1]))
        n--;
    text[n] = '\0';
    if (n == 0)
        return refuse(errors, path, "is empty");
    if (n >= sizeof(out->text))
        return refuse(errors, path, "holds more than 255 characters");
    if (!tb_cookie_ok(text))
        return refuse(errors, path, "has bad characters in the cookie");
    memcpy(out->text, text, n + 1);
    snprintf(out->origin, sizeof(out->origin), "file %s", path);
    return 0;
}

static int
read_open_file(int fd, const char *path, struct tb_secret *out,
               struct tb_wr *errors)
{
    char text[FILE_BYTES + 1];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0)
        return refuse_errno(errors, "read", path);
    if (!S_ISREG(st.st_mode))
        return refuse(errors, path, "is not a regular file");
    if (st.st_mode & 077)
        return refuse(errors, path,
                      "must be accessible by owner only (chmod 400)");
    n = read(fd, text, FILE_BYTES);
    if (n < 0)
        return refuse_errno(errors, "read", path);
    text[n] = '\0';
    if (memchr(text, '\0', (size_t)n))
        return refuse(errors, path, "has bad characters in the cookie");
    return parse_cookie(text, path, out, errors);
}

/* Returns -ENOENT, and no line, where there is no such file. */
static int
read_file(const char *path, struct tb_secret *out, struct tb_wr *errors)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int err;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return -ENOENT;
    if (fd < 0)
        return refuse_errno(errors, "read", path);
    err = read_open_file(fd, path, out, errors);
    close(fd);
    return err;
}

static int
random_letters(char *out, size_t n)
{
    size_t have = 0;
    uint8_t byte;

    while (have < n) {
        if (getrandom(&byte, 1, 0) != 1)
            return -errno;
        if (byte < 26 * (256 / 26)) /* so that no letter is likelier */
            out[have++] = (char)('A' + byte % 26);
    }
    out[n] = '\0';
    return 0;
}

static int
write_new(const char *path, const char *cookie)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = write(fd, cookie, NEW_COOKIE_CHARS);
    return close(fd) == 0 && n == NEW_COOKIE_CHARS ? 0 : -EIO;
}

/* A node that starts at the same time sees the file whole or not at all, and
 * all take the first one. */
static int
make_file(const char *path, struct tb_secret *out, struct tb_wr *errors)
{
    char temporary[PATH_MAX], cookie[NEW_COOKIE_CHARS + 1];
    int n =
        snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid());
    int err = n < (int)sizeof(temporary) ? 0 : -ENAMETOOLONG;

    if (err == 0)
        err = random_letters(cookie, NEW_COOKIE_CHARS);
    if (err == 0)
        err = write_new(temporary, cookie);
    if (err == 0) {
        err = link(temporary, path) == 0 || errno == EEXIST ? 0 : -errno;
        unlink(temporary);
    }
    if (err < 0) {
        errno = -err;
        return refuse_errno(errors, "make", path);
    }
    err = read_file(path, out, errors);
    return err == -ENOENT ? refuse(errors, path, "vanished") : err;
}

static int
find_file(struct tb_secret *out, struct tb_wr *errors)
{
    const char *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
    char path[PATH_MAX], second[PATH_MAX];
    int err, n;

    if (!home || !*home) {
        tb_wr_str(errors, "tiebeam: HOME is not set, so there is no cookie "
                          "file: give -setcookie or RELEASE_COOKIE\n");
        return -EPERM;
    }
    n = snprintf(path, sizeof(path), "%s/.erlang.cookie", home);
    if (n >= (int)sizeof(path))
        return refuse(errors, home, "has a path that is too long");
    err = read_file(path, out, errors);
    if (err != -ENOENT)
        return err;
    n = xdg && *xdg
            ? snprintf(second, sizeof(second), "%s/erlang/.erlang.cookie", xdg)
            : snprintf(second, sizeof(second),
                       "%s/.config/erlang/.erlang.cookie", home);
    if (n < (int)sizeof(second))
        err = read_file(second, out, errors);
    return err == -ENOENT ? make_file(path, out, errors) : err;
}

int
tb_cookie_find(const struct tb_settings *s, struct tb_secret *out,
               struct tb_wr *errors)
{
    const struct tb_setting_value *v = &s->v[TB_SET_COOKIE];

    if (!v->text)
        return find_file(out, errors);
    snprintf(out->text, sizeof(out->text), "%s", v->text);
    snprintf(out->origin, sizeof(out->origin), "%s", v->origin);
    return 0;
}
