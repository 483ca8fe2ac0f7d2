#!/bin/sh
# Checks test/model/host.pml: each scenario has to hold, and each mutant, in which
# one mechanism is left out, has to fail. BUILD is where it is built; T is how many
# seconds a scenario may take (default 60); LONG=1 adds those that take minutes.
# One that is not complete by then has found no error so far, and says so.
# The last line is "N passed, N failed".
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-build/model}
T=${T:-60}
passed=0 failed=0
mkdir -p "$BUILD" && cd "$BUILD" || exit 1

if ! [ pan -nt "$here/host.pml" ]; then
    rm -f pan
    spin -a "$here/host.pml" >spin.log 2>&1 &&
        ${CC:-cc} -O1 -w -DSAFETY -DNOFAIR -DHC4 -DVECTORSZ=1024 -DMEMLIM=6000 -o pan pan.c ||
        { cat spin.log; echo "0 passed, 1 failed"; exit 1; }
fi

# check SECONDS ENV...: prints what was found
check() {
    rm -f ./*.trail
    limit=$1
    shift
    env "$@" timeout "$limit" ./pan -m20000 -w24 >pan.log 2>&1
    ended=$?
    if grep -q 'errors: 0' pan.log && ! grep -q 'max search depth too small' pan.log; then
        echo "holds: $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1 states/p' pan.log | head -1)"
    elif grep -q 'errors: [1-9]' pan.log; then
        echo "fails: $(grep -o 'assertion violated.*' pan.log | cut -c1-60)"
    elif [ "$ended" -eq 124 ]; then
        echo "holds so far: $(grep '^Depth=' pan.log | tail -1 | sed 's/.*States= *\([^ ]*\).*/\1 states/')"
    else
        echo "broken: $(tail -1 pan.log)"
    fi
}

# expect WORD ENV...
expect() {
    word=$1
    shift
    # an error ends the search: its time is only for a machine that is slow
    limit=$T
    [ "$word" = holds ] || limit=$((T * 20))
    result=$(check "$limit" "$@")
    case $result in
    "$word"*)
        passed=$((passed + 1))
        printf '  %-60s %s\n' "$*" "$result"
        ;;
    *)
        failed=$((failed + 1))
        printf 'FAILED %-55s %s\n' "$*" "$result"
        ;;
    esac
}

while read -r word scenario; do
    case $word in
    holds | fails) ;;
    long) [ -n "$LONG" ] || continue; word=holds ;;
    *) continue ;;
    esac
    # shellcheck disable=SC2086
    expect "$word" $scenario
done <"$here/scenarios"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
