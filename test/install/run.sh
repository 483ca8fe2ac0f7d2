#!/bin/sh
# The library as its users get it: installed into a scratch directory, the
# example built there with what pkg-config says, and called from a BEAM node.
# Usage: run.sh MAKE BUILD. The last line is "N passed, N failed".
make=$1
build=$2
cc=${CC:-cc}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

# check TITLE COMMAND...: what it prints is shown where it fails.
check() {
    title=$1
    shift
    if "$@" >"$dir/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $title"
        sed 's/^/    /' "$dir/log"
    fi
}

# The names that tiebeam.h declares, one a line; by the compiler's reading.
declared() {
    echo '#include "tiebeam.h"' | $cc -std=c17 -Iinclude -E -P - | tr '\n' ' ' |
        sed 's/__attribute__((visibility("default")))/\n&/g' |
        sed -n 's/^__attribute__((visibility("default"))) *\([^(]*\)(.*/\1/p' |
        sed 's/.*[ *]//' | sort
}

exported() {
    nm -D --defined-only "$build/libtiebeam.so" | awk '{ print $NF }' | sort
}

same_symbols() {
    declared >"$dir/declared"
    exported >"$dir/exported"
    [ "$(wc -l <"$dir/declared")" -gt 80 ] || { echo "the header is not understood"; return 1; }
    diff "$dir/declared" "$dir/exported"
}

header_alone() {
    echo '#include <tiebeam.h>' | "$@" -Wall -Wextra -Werror -pedantic -Iinclude -fsyntax-only -
}

install_to() {
    $make --no-print-directory install "$@"
}

# Nothing of the scratch directory may be in what is installed.
destdir_unknown() {
    ! grep -rlF "$dir" "$dir/dest/opt/x/lib" "$dir/dest/opt/x/bin"
}

pc() {
    PKG_CONFIG_PATH=$dir/usr/lib/pkgconfig pkg-config "$@" tiebeam
}

# build_echo NAME FLAG...: as a user would, but for the sanitizers' flags.
build_echo() {
    out=$dir/$1
    shift
    # shellcheck disable=SC2046,SC2086
    $cc "$dir/usr/share/doc/tiebeam/examples/echo.c" -o "$out" $(pc --cflags --libs "$@") $LDFLAGS
}

needs() { readelf -d "$1" | grep -F "[$2]"; }
needs_not() { ! needs "$1" "$2"; }

# From C++, linked: the names are C's.
cxx_program() {
    cat >"$dir/x.cc" <<'C'
#include <tiebeam.h>
int main()
{
    struct tb_wr w = {};
    int rc = tb_build(&w, "{ok, []}", TB_NONE);
    tb_wr_free(&w);
    return rc;
}
C
    # shellcheck disable=SC2046,SC2086
    g++ "$dir/x.cc" -o "$dir/x" $(pc --cflags --libs) $LDFLAGS &&
        LD_LIBRARY_PATH=$dir/usr/lib "$dir/x"
}

# The suite's own test of the example, with this one.
call_echo() {
    LD_LIBRARY_PATH=$dir/usr/lib TIEBEAM_BIN=$dir/usr/bin/tiebeam ECHO_BIN=$dir/$1 \
        PROBE_BIN=$PROBE_BIN BUILD=$build/interop TB_ONLY=example \
        sh test/interop/run.sh tb_outgoing_tests | tee "$dir/calls"
    grep -qx '[1-9] passed, 0 failed' "$dir/calls"
}

erlang_application() {
    ERL_LIBS=$dir/usr/lib/erlang/lib erl -noshell -eval '
        ok = application:load(tiebeam),
        {ok, Modules} = application:get_key(tiebeam, modules),
        [{module, M} = code:load_file(M) || M <- Modules],
        {ok, Version} = application:get_key(tiebeam, vsn),
        io:put_chars(Version), halt().' >"$dir/vsn" || { cat "$dir/vsn"; return 1; }
    [ "tiebeam $(cat "$dir/vsn")" = "$("$dir/usr/bin/tiebeam" --version)" ]
}

nothing_left() {
    $make --no-print-directory -s uninstall PREFIX="$dir/usr" &&
        find "$dir/usr" ! -type d | grep . && return 1
    ! find "$dir/usr" -name '*tiebeam*' | grep .
}

check "exported symbols are the header's" same_symbols
check "the header stands alone in C17" header_alone "$cc" -x c -std=c17
if command -v g++ >/dev/null; then
    check "the header stands alone in C++" header_alone g++ -x c++ -std=c++11
fi

check "install, DESTDIR" install_to DESTDIR="$dir/dest" PREFIX=/opt/x
check "install knows no DESTDIR" destdir_unknown
check "install" install_to PREFIX="$dir/usr"
check "echo.c, shared" build_echo echo
check "echo.c, shared: what it needs" needs "$dir/echo" libtiebeam.so.0.1
check "echo.c, shared: needs no libuv itself" needs_not "$dir/echo" libuv.so.1
check "echo.c, shared: called" call_echo echo
command -v g++ >/dev/null && check "a C++ program" cxx_program
check "the Erlang application" erlang_application
check "uninstall" nothing_left

check "install, static only" install_to PREFIX="$dir/usr" SHARED=no
check "echo.c, static" build_echo echo_static --static
check "echo.c, static: what it needs" needs_not "$dir/echo_static" libtiebeam.so.0.1
check "echo.c, static: called" call_echo echo_static
check "uninstall, static only" nothing_left

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
