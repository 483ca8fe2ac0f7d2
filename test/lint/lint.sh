#!/bin/sh
# Formatting, include direction, banned calls, clang-tidy. Usage: lint.sh
# CPPFLAGS FILE... Last line: N passed, N failed (one for each check and file).
# NODES: how much of a function's paths the analyzer follows (225000).
flags=$1
shift
passed=0 failed=0
verdict() {
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1)); echo "FAILED $2"; fi
}
clang-format --dry-run -Werror "$@"
verdict $? "formatting (make format)"
awk -f test/lint/layers.awk "$@"
verdict $? "include direction"
! grep -nE -f test/lint/banned.txt $(echo "$@" | tr ' ' '\n' | grep -v '^test')
verdict $? "banned calls"
! grep -nE '\b(malloc|calloc|realloc|free)\(' $(echo "$@" | tr ' ' '\n' |
    grep '^c_src' | grep -v 'c_src/base/mem.c')
verdict $? "allocation outside base/mem.c"
! awk 'FNR == 1 && NR > 1 { if (n > 600 && f !~ /^(test|include)/) { print f ": " n " lines"; bad = 1 } }
       { n = FNR; f = FILENAME } END { exit bad }' "$@" | grep .
verdict $? "length of files"
files=$(echo "$@" | tr ' ' '\n' | grep '\.c$' | grep '^c_src')
tidy=$(mktemp -d)
trap 'rm -rf "$tidy"' EXIT
echo "$files" | xargs -P 2 -I{} sh -c \
    'clang-tidy --quiet {} -- -std=c17 '"$flags -Xclang -analyzer-config -Xclang max-nodes=${NODES:-225000}"' >"'"$tidy"'/$(echo {} | tr / _)" 2>/dev/null || touch "'"$tidy"'/failed"'
cat "$tidy"/*.c 2>/dev/null
! [ -e "$tidy/failed" ] && ! grep -q 'warning:' "$tidy"/*.c
verdict $? "clang-tidy"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
