#!/bin/sh
# Runs fuzzers that `make MODE=fuzz fuzzers` has built: run.sh SECONDS NAME...
# New inputs go to build/fuzz/corpus-NAME. The last line says how many came
# through clean and how many did not.
seconds=$1
shift
out=build/fuzz
passed=0 failed=0
for name in "$@"; do
    dir=$out/corpus-$name
    log=$out/$name.log
    mkdir -p "$dir"
    if "$out/fuzzers/$name" -max_total_time="$seconds" -timeout=60 \
        -artifact_prefix="$out/$name-" \
        "$dir" "test/fuzz/corpus/$name" >"$log" 2>&1; then
        echo "$name clean, $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log") runs"
        passed=$((passed + 1))
    else
        echo "FAILED $name"
        tail -60 "$log" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
