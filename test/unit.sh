#!/bin/sh
# Runs cmocka programs; the last line says how many tests passed and failed.
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for t in "$@"; do
    CMOCKA_MESSAGE_OUTPUT=TAP "$t" >"$log" 2>&1
    rc=$?
    ok=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    [ $rc -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    passed=$((passed + ok)) failed=$((failed + bad))
    if [ "$bad" -gt 0 ]; then
        echo "FAILED $t"
        sed 's/^/    /' "$log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
