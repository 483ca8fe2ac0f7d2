#!/bin/sh
# Makes the releases of the templates: build.sh BUILD. Nothing is fetched: the
# one dependency is a path.
#
#   BUILD/mix/rel      of test/templates/mix, by mix release
#   BUILD/rebar3/rel   of test/templates/rebar3, by rebar3 release
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" || exit 1
build=$(cd "$1" && pwd)
TIEBEAM_ERL=$(cd "$here/../../erl" && pwd)
export TIEBEAM_ERL
unset RELEASE_NODE RELEASE_COOKIE ERL_FLAGS

by_mix() {
    rm -rf "$build/mix"
    cp -r "$here/mix" "$build/mix" && cd "$build/mix" &&
        MIX_ENV=prod MIX_BUILD_PATH=$build/mix/_build mix release --overwrite --path "$build/mix/rel"
}

by_rebar3() {
    rm -rf "$build/rebar3"
    cp -r "$here/rebar3" "$build/rebar3" && cd "$build/rebar3" &&
        mkdir _checkouts && ln -s "$TIEBEAM_ERL" _checkouts/tiebeam &&
        rebar3 release && ln -s _build/default/rel/peer rel
}

log=$build/log
for kind in mix rebar3; do
    command -v $kind >/dev/null || { echo "SKIPPED the release by $kind: it is not installed"; continue; }
    (by_$kind) >"$log" 2>&1 || { cat "$log"; echo "no release by $kind"; exit 1; }
done
