#!/bin/sh
# All tests, one part after the other; the last line adds up their figures.
make=$1
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for part in unit corpus live installed interop templates; do
    echo "== $part"
    $make --no-print-directory "$part" 2>&1 | tee "$log"
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -1)
    if [ -n "$line" ]; then
        passed=$((passed + ${line%% passed*}))
        bad=${line#*, }
        failed=$((failed + ${bad%% failed*}))
    else
        echo "$part did not come to its end"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
