#!/bin/sh
# The table and race suites from other OTP releases, and clusters of two
# releases with the daemon: run.sh DAEMON DEBIAN_SUITE...
#
# Each release is a chroot with Debian's erlang packages of that suite, made
# once with debootstrap; with Elixir where that is 1.14 or later, which then
# talks to the daemon, too. Everything runs in mount and process namespaces of its
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
elixir_suites="tb_supervisor_tests tb_options_tests tb_elixir_test tb_genserver_test tb_migration_test"
namespaces="unshare --mount --pid --fork --kill-child"
passed=0 failed=0

finish() {
    echo "$passed passed, $failed failed"
    exit $((failed > 0))
}

skip() {
    echo "SKIPPED $*"
}

# Those of a suite of Debian. Before 12 its Elixir was older than 1.14.
packages_of() {
    case $1 in
    stretch | buster | bullseye) echo "$packages" ;;
    *) echo "$packages,elixir" ;;
    esac
}

has_elixir() {
    [ -e "$chroots/$1/usr/bin/elixir" ]
}

# Whether it is there, with all that it is to have.
is_made() {
    [ -d "$chroots/$1" ] || return 1
    case $(packages_of "$1") in
    *,elixir) has_elixir "$1" ;;
    esac
}

# make_chroot SUITE: under another name until it is whole. One that has less
# stays until then.
make_chroot() {
    dir=$chroots/$1
    is_made "$1" && return 0
    echo "making $dir"
    for mirror in "${TB_MIRROR:-http://deb.debian.org/debian}" http://archive.debian.org/debian; do
        rm -rf --one-file-system "$dir.part"
        if $namespaces timeout 900 debootstrap --variant=minbase --include="$(packages_of "$1")" \
            "$1" "$dir.part" "$mirror" >"$dir.log" 2>&1; then
            rm -rf --one-file-system "$dir"
            mv "$dir.part" "$dir"
            return
        fi
    done
    why="debootstrap: $(tail -n 1 "$dir.log") (all of it in $dir.log)"
    if [ -d "$dir" ]; then
        skip "Elixir of Debian $1: $why"
    else
        skip "OTP of Debian $1: $why"
        return 1
    fi
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
    more=
    [ "$otp" -lt 25 ] || more=tb_host_tests
    [ "$otp" -lt 25 ] || ! has_elixir "$suite" || more="$elixir_suites $more"
    # shellcheck disable=SC2086
    enter "otp$otp.txt" "$chroots/$suite" "" $more tb_table_tests tb_race_tests tb_pg_tests
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
