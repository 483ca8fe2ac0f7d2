#!/bin/sh
# Checks test/model/host.pml: each scenario has to hold, and each mutant, in which one
# mechanism is left out, has to fail by its schedule, which holds without it. BUILD is
# where it is built; T is how many seconds a scenario may take (default 60); LONG=1 adds
# those that take minutes. One that is not complete by then has found no error so far,
# and says so. The last line is "N passed, N failed".
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-build/model}
T=${T:-60}
MUTANT_T=60 # they take less than one
passed=0 failed=0
mkdir -p "$BUILD" && cd "$BUILD" || exit 1

if ! [ pan -nt "$here/host.pml" ] || ! [ pan -nt "$here/run.sh" ]; then
    rm -f pan
    spin -a "$here/host.pml" >spin.log 2>&1 &&
        ${CC:-cc} -O1 -w -DSAFETY -DNOFAIR -DNOREDUCE -DNOBOUNDCHECK -DHC4 \
            -DVECTORSZ=1024 -DMEMLIM=5000 -o pan pan.c ||
        { cat spin.log; echo "0 passed, 1 failed"; exit 1; }
fi

# check SECONDS ENV...: prints what was found
check() {
    seconds=$1
    shift
    rm -f ./*.trail
    env "$@" timeout -s INT -k 20 "$seconds" ./pan -m20000 -w24 >pan.log 2>&1
    ended=$?
    states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1 states/p' pan.log | head -1)
    if grep -q 'errors: [1-9]' pan.log; then
        echo "fails: $(grep -o 'assertion violated.*' pan.log | cut -c1-60)"
    elif ! grep -q 'errors: 0' pan.log || grep -q 'max search depth too small' pan.log; then
        echo "broken: $(tail -1 pan.log)"
    elif [ $ended -ne 0 ]; then
        echo "holds so far: $states"
    else
        echo "holds: $states"
    fi
}

# expect WORD SECONDS ENV...
expect() {
    word=$1 seconds=$2
    shift 2
    result=$(check "$seconds" "$@")
    shown=$(printf '%s ' "$@" | sed 's/ONLY=1 PLAN=[^ ]*/as planned/')
    case $result in
    "$word"*)
        passed=$((passed + 1))
        printf '  %-60s %s\n' "$shown" "$result"
        ;;
    *)
        failed=$((failed + 1))
        printf 'FAILED %-55s %s\n' "$shown" "$result"
        ;;
    esac
}

while read -r word scenario; do
    # shellcheck disable=SC2086
    case $word in
    holds) expect holds "$T" $scenario ;;
    long) [ -z "$LONG" ] || expect holds "$T" $scenario ;;
    fails)
        expect fails $MUTANT_T $scenario
        expect holds $MUTANT_T $scenario MUTANT=0
        ;;
    esac
done <"$here/scenarios"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
