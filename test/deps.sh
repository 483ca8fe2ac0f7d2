#!/bin/sh
# Installs the Debian packages that are named and missing; elsewhere it says
# what it would have installed.
missing=
for p in "$@"; do
    dpkg -s "$p" 2>/dev/null | grep -q '^Status: install ok installed' ||
        missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null; then
    echo "no apt-get here; these are needed, under your system's names:$missing" >&2
    exit 0
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
    { $sudo apt-get update -qq &&
      $sudo apt-get install -y -qq --no-install-recommends $missing; } >/dev/null
