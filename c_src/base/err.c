/* err.c - names and texts of error codes.
 * In Erlang: the Reason of {error, Reason}, and file:format_error/1. */
#include <string.h>

#include "tiebeam.h"

const char *
tb_strerror(int err)
{
    switch (-err) {
#define TEXT(name, atom, text)                                                 \
    case TB_E##name:                                                           \
        return text;
        TB_ERRORS(TEXT)
#undef TEXT
    default:
        return err < 0 ? strerror(-err) : "ok";
    }
}

static const char *
errno_atom(int err)
{
    const char *name = strerrorname_np(err);
    static _Thread_local char atom[32];
    size_t i = 0;

    for (; name && name[i] && i + 1 < sizeof(atom); i++)
        atom[i] = (char)(name[i] + ('a' - 'A'));
    atom[i] = '\0';
    return i ? atom : "unknown";
}

const char *
tb_error_atom(int err)
{
    switch (-err) {
#define ATOM(name, atom, text)                                                 \
    case TB_E##name:                                                           \
        return atom;
        TB_ERRORS(ATOM)
#undef ATOM
    default:
        return err < 0 ? errno_atom(-err) : "ok";
    }
}
