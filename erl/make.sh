#!/bin/sh
# Builds the program of the sidecar into priv/bin, where its sources are beside
# this directory; TIEBEAM_BUILD=0 leaves it out. Without them the application is
# pure Erlang, and takes a program that {binary, Path} names, or that is in PATH.
here=$(cd -P "$(dirname "$0")" && pwd -P)
[ "$TIEBEAM_BUILD" != 0 ] && [ -d "$here/../c_src" ] && [ -f "$here/../Makefile" ] || exit 0
unset MAKEFLAGS MAKELEVEL MFLAGS
${MAKE:-make} --no-print-directory -s -C "$here/.." sidecar || {
    echo "the program tiebeam was not built; TIEBEAM_BUILD=0 leaves it out" >&2
    exit 1
}
