#!/bin/sh
# Runs fuzzers: run.sh SECONDS NAME... New inputs go to build/fuzz/corpus-NAME.
# The last line says how many came through clean and how many did not.
seconds=$1
shift
out=build/fuzz
passed=0 failed=0

ei=${EI_DIR:-$(erl -noshell \
    -eval 'io:put_chars(code:lib_dir(erl_interface)), halt().')}
cc="${CLANG:-clang} -std=c17 -O1 -g -fno-omit-frame-pointer \
    -fno-sanitize-recover=undefined -Iinclude -Ic_src -D_GNU_SOURCE \
    -isystem $ei/include"

rm -rf "$out/obj"
mkdir -p "$out/obj"
for src in c_src/base/*.c c_src/term/*.c c_src/dist/*.c; do
    obj=$out/obj/$(echo "${src#c_src/}" | tr / _).o
    $cc -fsanitize=fuzzer-no-link,address,undefined -c -o "$obj" "$src" ||
        exit 1
done

for name in "$@"; do
    dir=$out/corpus-$name
    log=$out/$name.log
    mkdir -p "$dir"
    if $cc -fsanitize=fuzzer,address,undefined -o "$out/$name" \
        "test/fuzz/fuzz_$name.c" "$out"/obj/*.o "$ei/lib/libei.a" \
        -lcrypto -lpthread -lm >"$log" 2>&1 &&
        "$out/$name" -max_total_time="$seconds" -timeout=10 \
            -artifact_prefix="$out/$name-" \
            "$dir" "test/fuzz/corpus/$name" >"$log" 2>&1; then
        echo "$name clean"
        passed=$((passed + 1))
    else
        echo "FAILED $name"
        tail -60 "$log" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
