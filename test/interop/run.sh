#!/bin/sh
# Interop suites: real erl and elixir nodes against the daemon.
#
#   TIEBEAM_BIN  the daemon         (build/release/tiebeam)
#   PROBE_BIN, ECHO_BIN  test/interop/probe.c and the example, built
#   BUILD        where .beam go     (build/interop)
#   ERL          the erl to use     (erl)
#   TB_VARIANT   tcp, tls1.2, tls1.3, inet6 or noepmd, see tb_variant.erl
#   TB_VERBOSE   1: one line for each test
#   TB_ONLY      only the tests whose title contains this
#   TB_TIMES     how often each of them (1)
#   TB_RESTARTS, TB_CYCLES, TB_RACES, TB_ROUNDS, TB_STARTS: longer runs; see also the
#   heads of tb_chaos_tests and tb_partition_tests
#   LANES        how many suites run at the same time (4)
#   TB_AGAIN     1: suites that fail beside others run once more, alone, and that
#                counts; both are shown. Of more than three none does.
#
# Arguments: the suites to run, default all; SUITE:1 and SUITE:2 are the halves
# of one whose cases tb_lib:chosen/1 gives. The last line is "N passed, N
# failed"; the exit status is 0 if none failed.
here=$(cd "$(dirname "$0")" && pwd)
TIEBEAM_BIN=$(realpath "${TIEBEAM_BIN:-build/release/tiebeam}")
BUILD=${BUILD:-build/interop}
ERL=${ERL:-erl}
ERLC=${ERLC:-$(dirname "$(command -v "$ERL")")/erlc}
export TIEBEAM_BIN
# the long ones first: several run at a time
all="tb_partition_tests:1 tb_partition_tests:2 tb_failover_tests tb_chaos_tests tb_detect_tests tb_managed_tests
    tb_hostile_tests tb_discovery_tests tb_supervisor_tests tb_cluster_tests
    tb_split_tests tb_monitor_tests tb_life_tests tb_host_tests tb_sidecar_tests
    tb_mesh_tests tb_table_tests tb_tls_tests tb_pg_tests tb_cli_tests tb_outgoing_tests
    tb_options_tests tb_skew_tests tb_memory_tests tb_net_tests tb_race_tests tb_client_tests tb_elixir_test tb_genserver_test tb_migration_test"

[ -x "$TIEBEAM_BIN" ] || {
    echo "no daemon at $TIEBEAM_BIN: run make first"
    echo "0 passed, 1 failed"
    exit 1
}
mkdir -p "$BUILD"
BUILD=$(cd "$BUILD" && pwd)
# All modules, if one has changed since.
compiled() {
    [ -e "$BUILD/compiled" ] &&
        [ -z "$(find "$here/../../erl/src" "$here" -name '*.erl' -newer "$BUILD/compiled")" ] && return
    touch "$BUILD/compiling" &&
        "$ERLC" +debug_info -pa "$BUILD" -o "$BUILD" "$here"/../../erl/src/*.erl "$here"/tb_*.erl &&
        mv "$BUILD/compiling" "$BUILD/compiled"
}
compiled || {
    echo "0 passed, 1 failed"
    exit 1
}

failed_of() {
    for suite in "$@"; do
        tail -1 "$TB_TMP/$suite" | grep -q 'passed, 0 failed$' || echo "$suite"
    done
}

run_again() {
    [ $# -le 3 ] || return
    for suite in "$@"; do
        echo "AGAIN $suite, alone:"
        sh "$0" "$suite" >"$TB_TMP/$suite" 2>&1
        grep -vE '^[0-9]+ passed, [0-9]+ failed$' "$TB_TMP/$suite"
    done
}

# A copy of the daemon: whoever builds meanwhile does not disturb.
TB_TMP=$(mktemp -d)
export TB_TMP
# Most suites wait most of the time: several at once, each by a script like this
# one, whose output comes in one piece.
if [ $# -gt 1 ] || [ $# -eq 0 ]; then
    trap 'rm -rf "$TB_TMP"' EXIT
    trap 'exit 1' INT TERM
    export BUILD ERL ERLC
    [ $# -gt 0 ] || set -- $all
    # shellcheck disable=SC2016
    printf '%s\n' "$@" | xargs -P "${LANES:-4}" -I SUITE sh -c '
        sh "$1" SUITE >"$TB_TMP/SUITE" 2>&1
        grep -vE "^[0-9]+ passed, [0-9]+ failed$" "$TB_TMP/SUITE"' run "$0"
    # shellcheck disable=SC2046
    [ "$TB_AGAIN" = 1 ] && run_again $(failed_of "$@")
    cat "$TB_TMP"/* | awk '/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3; n++ }
        END { failed += suites - n; print passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 }' suites=$#
    exit
fi
cp "$TIEBEAM_BIN" "$TB_TMP/tiebeam"
TIEBEAM_BIN=$TB_TMP/tiebeam
passed=0 failed=0

# Ends what a crashed suite left, and an epmd that a daemon started: only what
# has this run's directory in its environment.
end_leftovers() {
    for dir in /proc/[0-9]*; do
        read -r command 2>/dev/null <"$dir/comm" || continue
        case $command in epmd | tiebeam | beam.smp | wire | dnsmasq | probe | mock | echo) ;; *) continue ;; esac
        tr '\0' '\n' 2>/dev/null <"$dir/environ" |
            grep -qx "TB_TMP=$TB_TMP" && kill -KILL "${dir#/proc/}"
    done
}

finish() {
    end_leftovers
    ip netns list 2>/dev/null | sed -n "s/^\($TB_NETNS[^ ]*\).*/\1/p" |
        while read -r ns; do ip netns del "$ns"; done
    rm -rf "$TB_TMP"
}
trap finish EXIT
trap 'exit 1' INT TERM

# A port for an epmd of our own, which the suite starts and ends.
port=$((20000 + $$ * 16 % 10000))
own_port() {
    port=$((port + 1))
    while epmd -port "$port" -names >/dev/null 2>&1; do
        port=$((port + 1))
    done
    ERL_EPMD_PORT=$port
    export ERL_EPMD_PORT
}

# What tb_variant.erl says, for the node that a suite makes of itself.
own_flags() {
    case ${TB_VARIANT:-tcp} in
    tcp) ;;
    tls*) echo "-proto_dist inet_tls -ssl_dist_optfile $TB_CERTS/$TB_VARIANT.conf" ;;
    inet6) echo "-proto_dist inet6_tcp" ;;
    noepmd) echo "-start_epmd false -erl_epmd_port $TB_DIST_PORT" ;;
    *) echo "no such variant: $TB_VARIANT" >&2; exit 1 ;;
    esac
}

count() {
    line=$(grep -E '[0-9]+ passed, [0-9]+ failed' "$TB_TMP/log" | tail -1)
    if [ -z "$line" ]; then
        echo "FAILED $1: it did not come to its end"
        failed=$((failed + 1))
        return
    fi
    figure=${line%% passed*}
    passed=$((passed + ${figure##* }))
    figure=${line%% failed*}
    failed=$((failed + ${figure##* }))
}

# In a network namespace of its own, where a suite makes more of them; they are
# named after the process that makes them, and go with this script at the latest.
own_net() {
    case $1 in
    tb_detect_tests | tb_partition_tests | tb_split_tests) unshare -n true 2>/dev/null && echo unshare -n ;;
    esac
}

run_erlang() {
    # shellcheck disable=SC2046
    $(own_net "$1") "$ERL" -noshell -noinput -pa "$BUILD" +pc unicode $(own_flags) \
        -kernel prevent_overlapping_partitions false logger_level critical \
        -run tb_report main "$1" 2>&1 | tee "$TB_TMP/log"
    count "$1"
}

run_elixir() {
    if ! command -v elixir >/dev/null; then
        echo "SKIPPED $1: elixir is not installed"
        return
    fi
    elixir --erl "-pa $BUILD -kernel prevent_overlapping_partitions false logger_level critical" \
        "$here/$1.exs" 2>&1 | tee "$TB_TMP/log"
    count "$1"
}

TB_NETNS=tb$$n
export TB_NETNS
TB_CERTS=$TB_TMP/certs
TB_DIST_PORT=$((30000 + $$ * 8 % 2000))
export TB_CERTS TB_DIST_PORT
sh "$here/certs.sh" "$TB_CERTS" "$(hostname)" || exit 1

suite=${1%:*}
TB_PART=${1#"$suite"}
TB_PART=${TB_PART#:}
export TB_PART
own_port
TB_VARIANT=${TB_VARIANT:-tcp}
[ "$suite" = tb_tls_tests ] && TB_VARIANT=tls
export TB_VARIANT
if [ -f "$here/$suite.exs" ]; then
    run_elixir "$suite"
elif [ -f "$here/$suite.erl" ]; then
    run_erlang "$suite"
else
    echo "FAILED $suite: no such suite"
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
