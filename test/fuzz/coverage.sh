#!/bin/sh
# Coverage of the parsers, as a Markdown table: by the corpora alone, and with
# the unit tests. Usage: coverage.sh BUILD FUZZERS UNIT_TESTS SOURCE...
# The lines that nothing reaches are shown in BUILD/uncovered.txt.
build=$1
fuzzers=$2
units=$3
shift 3
raw=$build/raw
rm -rf "$raw"
mkdir -p "$raw"

# run DIRECTORY PROGRAM ARGUMENT...: its counters go there.
run() {
    LLVM_PROFILE_FILE=$raw/$1/%m-%p.profraw
    export LLVM_PROFILE_FILE
    shift
    "$@" >"$build/coverage.log" 2>&1 || {
        echo "failed: $*" >&2
        cat "$build/coverage.log" >&2
        exit 1
    }
}

merge() {
    out=$build/$1.profdata
    shift
    for d in "$@"; do
        find "$raw/$d" -name '*.profraw'
    done >"$build/profiles"
    llvm-profdata merge -sparse -f "$build/profiles" -o "$out" || exit 1
}

objects=
for f in $fuzzers; do
    run corpus "$build/corpus/$f" "test/fuzz/corpus/$f"
    objects="$objects -object $build/corpus/$f"
done
for t in $units; do
    run unit "$t"
    objects="$objects -object $t"
done
merge corpus corpus
merge all corpus unit
first=${objects# -object }

# NAME REGIONS MISSED LINES MISSED, one file a line, sorted as the arguments.
figures() {
    profile=$1
    shift
    # shellcheck disable=SC2086
    llvm-cov report $first -instr-profile="$build/$profile.profdata" "$@" \
        2>"$build/coverage.log" |
        awk '$1 ~ /\.c$/ || $1 == "TOTAL" { print $1, $2, $3, $8, $9 }'
}

figures corpus "$@" >"$build/corpus.txt"
figures all "$@" >"$build/all.txt"
# shellcheck disable=SC2086
llvm-cov show $first -instr-profile="$build/corpus.profdata" "$@" \
    2>"$build/coverage.log" |
    awk '/^\/.*:$/ || /^[^ ].*\.c:$/ { file = $0; next }
         /^ +[0-9]+\| +0\|/ { if (file) { print file; file = "" } print }' >"$build/uncovered.txt"

echo "# Coverage of the parsers"
echo
echo "Made by \`make coverage\`: the files that read bytes or text which somebody"
echo "else wrote, as the fuzzers' corpora reach them alone, and together with the"
echo "unit tests. Percent of lines and of regions (parts of an expression that"
echo "run or do not). What the corpora leave out: a lack of memory, which unit tests"
echo "bring about; integers of more than 8 KiB and atoms of more than 64, whose files"
echo "would be large; defaults of switches over what has been checked before. Most of"
echo "the handshake's regions are the names of flags, which macros repeat."
echo
echo "| | lines | by the corpora | and unit tests | regions | by the corpora | and unit tests |"
echo "| --- | --: | --: | --: | --: | --: | --: |"
join "$build/corpus.txt" "$build/all.txt" --nocheck-order | awk '
    function part(all, missed) { return sprintf("%.1f", all ? 100 * (all - missed) / all : 100) }
    { name = $1 == "TOTAL" ? "all" : "`" $1 "`"
      printf "| %s | %d | %s | %s | %d | %s | %s |\n", name,
          $4, part($4, $5), part($8, $9), $2, part($2, $3), part($6, $7) }'
