#!/bin/sh
# Runs interop suites in a chroot: enter.sh DAEMON ROOT OTHER SUITE... ROOT may
# be /, which is this system. OTHER: nothing, or the chroot of a second release,
# whose erl is $TB_OTHER_ERL for the suites.
#
# To be called in a mount namespace of its own: what is mounted goes with it.
# All that is written lands in memory, so that chroots stay as they were made.
set -e
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
daemon=$1 root=${2%/} other=$3
shift 3
at=/mnt/tiebeam # DAEMON has been linked to find its libraries there

# furnish ROOT: a system to run in.
furnish() {
    mount -t tmpfs tmpfs "$1/mnt"
    if [ -n "$1" ]; then
        mount -t tmpfs tmpfs "$1/tmp"
        mount -t proc proc "$1/proc"
        mount --bind /dev "$1/dev"
        cat /etc/hosts >"$1/etc/hosts"
    fi
    mkdir -p "$1$at/erl" "$1$at/test" "$1$at/priv"
    cp -r "$tree/erl/src" "$tree/erl/lib" "$1$at/erl/"
    cp -r "$tree/priv/doc" "$1$at/priv/"
    cp -r "$tree/test/interop" "$1$at/test/"
}

# The daemon, with this system's loader and libraries: the chroot's own may be
# older than those that it was built with.
copy_daemon() {
    cp "$daemon" "$1$at/tiebeam"
    ldd "$daemon" | grep -oE '/[^ ]+' | grep -v "^$at" | while read -r library; do
        case $library in
        */ld-linux* | */ld64*) cp "$library" "$1$at/ld.so" ;;
        *) cp "$library" "$1$at/" ;;
        esac
    done
}

furnish "$root"
copy_daemon "$root"
if [ -n "$other" ]; then
    furnish "$other"
    mkdir "$other$at/ebin" "$root$at/other"
    chroot "$other" erlc -o "$at/ebin" "$at/test/interop/tb_lib.erl" \
        "$at/test/interop/tb_variant.erl" "$at/test/interop/tb_mixed_tests.erl"
    mount --rbind "$other" "$root$at/other"
    TB_OTHER_ERL=$at/other_erl
    export TB_OTHER_ERL
    cat >"$root$TB_OTHER_ERL" <<EOF
#!/bin/sh
exec chroot $at/other /usr/bin/erl -pa $at/ebin "\$@"
EOF
    chmod +x "$root$TB_OTHER_ERL"
fi
if [ -n "$TB_RESULTS" ]; then
    results=$TB_RESULTS
    TB_RESULTS=$at/results.txt
    export TB_RESULTS
fi
HOME=/tmp LANG=C.UTF-8 TIEBEAM_BIN=$at/tiebeam BUILD=$at/build
export HOME LANG TIEBEAM_BIN BUILD
if [ -n "$HOST_BEAM" ]; then
    cp "$HOST_BEAM" "$root$at/tiebeam_host.beam"
    HOST_BEAM=$at/tiebeam_host.beam
    export HOST_BEAM
fi
status=0
chroot "$root/" sh "$at/test/interop/run.sh" "$@" || status=$?
[ -z "$results" ] || cat "$root$TB_RESULTS" >>"$results"
exit $status
