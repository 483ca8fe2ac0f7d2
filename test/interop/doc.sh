#!/bin/sh
# Runs the table and race suites over every transport and from every release,
# more of them where one release differs from another (test/releases/run.sh), and
# writes priv/doc/interop.md. Usage: doc.sh MAKE.
make=$1
both="tb_table_tests tb_race_tests"
more="tb_pg_tests tb_host_tests tb_supervisor_tests tb_options_tests
    tb_elixir_test tb_genserver_test tb_migration_test"
results=$PWD/build/results
base=otp$(erl -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')
status=0
rm -rf "$results"
mkdir -p "$results"
for variant in "$base" tls1.2 tls1.3 inet6 noepmd; do
    echo "== $variant"
    TB_VARIANT=$variant
    suites=$both
    [ "$variant" != "$base" ] || { TB_VARIANT=tcp; suites="$both $more"; }
    export TB_VARIANT
    # shellcheck disable=SC2086,SC2116
    TB_RESULTS=$results/$variant.txt $make --no-print-directory interop \
        SUITES="$(echo $suites)" || status=1
done
unset TB_VARIANT
TB_RESULTS_DIR=$results $make --no-print-directory releases || status=1
mkdir -p priv/doc
cd "$results" || exit 1
# The files there are, each once, in the order of the columns.
columns() {
    for f in "$base.txt" otp*.txt with*.txt tls*.txt inet6.txt noepmd.txt; do
        [ -f "$f" ] && echo "$f"
    done | awk '!seen[$0]++'
}
# shellcheck disable=SC2046
awk -f ../../test/interop/table.awk $(columns) >../interop.md
mv ../interop.md ../../priv/doc/interop.md
exit $status
