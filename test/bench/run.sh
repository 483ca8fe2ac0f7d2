#!/bin/sh
# The benchmark: tiebeam beside the BEAM, on this machine, in one run. The table
# goes to stdout; progress to stderr.
#
#   TIEBEAM_BIN  the daemon; SERVER_BIN, CROWD_BIN  the programs of this folder
#   BUILD        where .beam go
#   ROUNDS       how often each measurement is repeated (5)
#   ONLY         only the rows whose name contains this
#   OUT          a file for the table and test/bench/notes.md
#   ERL          the erl to use (erl)
here=$(cd "$(dirname "$0")" && pwd)
ERL=${ERL:-erl}
ERLC=${ERLC:-$(dirname "$(command -v "$ERL")")/erlc}
mkdir -p "$BUILD"
BUILD=$(cd "$BUILD" && pwd)
"$ERLC" -o "$BUILD" "$here"/../interop/tb_lib.erl "$here"/../interop/tb_raw.erl \
    "$here"/../interop/tb_variant.erl "$here"/../interop/tb_dns.erl "$here"/tb_*.erl || exit 1

# Copies: whoever builds meanwhile does not disturb.
TB_TMP=$(mktemp -d)
export TB_TMP
for program in "$TIEBEAM_BIN" "$SERVER_BIN" "$CROWD_BIN"; do
    cp "$program" "$TB_TMP/" || exit 1
done

# Ends what a crashed run left: only what has its directory in its environment.
finish() {
    for dir in /proc/[0-9]*; do
        read -r command 2>/dev/null <"$dir/comm" || continue
        case $command in epmd | tiebeam | beam.smp | dnsmasq | bench_*) ;; *) continue ;; esac
        tr '\0' '\n' 2>/dev/null <"$dir/environ" |
            grep -qx "TB_TMP=$TB_TMP" && kill -KILL "${dir#/proc/}"
    done
    rm -rf "$TB_TMP"
}
trap finish EXIT
trap 'exit 1' INT TERM

port=$((20000 + $$ * 8 % 10000))
while epmd -port "$port" -names >/dev/null 2>&1; do port=$((port + 1)); done
ERL_EPMD_PORT=$port
unset TB_VARIANT
export ERL_EPMD_PORT ERL_CRASH_DUMP_SECONDS=0
TB_CERTS=$TB_TMP/certs
export TB_CERTS
sh "$here/../interop/certs.sh" "$TB_CERTS" "$(hostname)" || exit 1
drive() { # FLAGS
    "$ERL" -noshell -noinput -pa "$BUILD" +pc unicode -connect_all false \
        -kernel prevent_overlapping_partitions false logger_level critical \
        "$@" -run tb_bench main
}
{
    drive && drive -proto_dist inet_tls -ssl_dist_optfile "$TB_CERTS/tls1.3.conf" &&
        touch "$TB_TMP/done"
} | tee "$TB_TMP/table"
[ -e "$TB_TMP/done" ] || exit 1
[ -z "$OUT" ] && exit 0
mkdir -p "$(dirname "$OUT")"
{
    printf '# Speed, beside the BEAM\n\n'
    cat "$TB_TMP/table"
    echo
    cat "$here/notes.md"
} >"$OUT"
