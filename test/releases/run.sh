#!/bin/sh
# The table and race suites from other OTP releases, and clusters of two
# releases with the daemon: run.sh DAEMON DEBIAN_SUITE...
#
# Each release is a chroot with Debian's erlang packages of that suite, made
# once with debootstrap. Everything runs in mount and process namespaces of its
# own (enter.sh): nothing stays mounted or running, whatever happens.
#
#   TB_CHROOTS   where the chroots are kept (build/releases)
#   TB_MIRROR    a Debian mirror (http://deb.debian.org/debian)
#   TB_RESULTS_DIR  also write otpNN.txt and withNN.txt there, a line for each case
#
# Needs root, and a network for the first time; what cannot be had is skipped,
# with a line that says why. The last line is "N passed, N failed".
here=$(cd "$(dirname "$0")" && pwd)
daemon=$1
shift
chroots=${TB_CHROOTS:-build/releases}
packages=erlang-base,erlang-eunit,erlang-crypto,erlang-dev,erlang-tools,erlang-ssl,openssl
namespaces="unshare --mount --pid --fork --kill-child"
passed=0 failed=0

finish() {
    echo "$passed passed, $failed failed"
    exit $((failed > 0))
}

skip() {
    echo "SKIPPED $*"
}

# make_chroot SUITE: under another name until it is whole.
make_chroot() {
    dir=$chroots/$1
    [ -d "$dir" ] && return 0
    echo "making $dir"
    for mirror in "${TB_MIRROR:-http://deb.debian.org/debian}" http://archive.debian.org/debian; do
        rm -rf --one-file-system "$dir.part"
        if $namespaces timeout 900 debootstrap --variant=minbase --include=$packages \
            "$1" "$dir.part" "$mirror" >"$dir.log" 2>&1; then
            mv "$dir.part" "$dir"
            return
        fi
    done
    skip "OTP of Debian $1: debootstrap: $(tail -n 1 "$dir.log") (all of it in $dir.log)"
    return 1
}

release_of() {
    for d in "$1"/usr/lib/erlang/releases/[0-9]*; do
        echo "${d##*/}"
    done | sort -n | tail -n 1
}

# report COMMAND...: its figures go into ours.
report() {
    log=$(mktemp)
    "$@" 2>&1 | tee "$log"
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    rm -f "$log"
    if [ -z "$line" ]; then
        echo "FAILED $*: it did not come to its end"
        failed=$((failed + 1))
        return
    fi
    passed=$((passed + ${line%% passed*}))
    line=${line#*, }
    failed=$((failed + ${line%% failed*}))
}

[ "$(id -u)" = 0 ] || { skip "all other releases: a chroot needs root"; finish; }
sh "$here/../deps.sh" debootstrap
command -v debootstrap >/dev/null ||
    { skip "all other releases: debootstrap is not installed"; finish; }
$namespaces true 2>/dev/null ||
    { skip "all other releases: no namespaces of its own allowed here"; finish; }
mkdir -p "$chroots"
chroots=$(cd "$chroots" && pwd)

made=
for suite in "$@"; do
    make_chroot "$suite" && made="$made $suite"
done

# enter RESULTS ROOT OTHER SUITE...
enter() {
    TB_RESULTS=
    if [ -n "$TB_RESULTS_DIR" ]; then
        TB_RESULTS=$TB_RESULTS_DIR/$1
        rm -f "$TB_RESULTS"
    fi
    export TB_RESULTS
    shift
    # shellcheck disable=SC2086
    report $namespaces sh "$here/enter.sh" "$daemon" "$@"
}

for suite in $made; do
    otp=$(release_of "$chroots/$suite")
    echo "== OTP $otp (Debian $suite)"
    # a host of supervised children needs OTP 25
    hosts=
    [ "$otp" -lt 25 ] || hosts=tb_host_tests
    # shellcheck disable=SC2086
    enter "otp$otp.txt" "$chroots/$suite" "" tb_table_tests tb_race_tests tb_pg_tests $hosts
done

# Each with the release installed here, and the first with the last.
for suite in $made; do
    otp=$(release_of "$chroots/$suite")
    echo "== the OTP here and OTP $otp"
    enter "with$otp.txt" / "$chroots/$suite" tb_mixed_tests
done
first=${made# } last=${made##* }
first=${first%% *}
if [ "$first" != "$last" ]; then
    echo "== OTP $(release_of "$chroots/$first") and OTP $otp"
    enter "with_each_other.txt" "$chroots/$first" "$chroots/$last" tb_mixed_tests
fi
finish
