#!/bin/sh
# Installs what building needs, once: a stamp under build/ remembers the list of packages.
set -eu
cd "$(dirname "$0")/.."
packages="build-essential cmake pkg-config libjansson-dev libyaml-dev libcurl4-openssl-dev libsqlite3-dev
libpcre2-dev libutf8proc-dev libssl-dev libarchive-dev libmicrohttpd-dev libcmocka-dev python3 python3-cffi python3-pip ca-certificates curl"
packages=$(echo $packages)
stamp=build/.packages
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$packages" ] && exit 0
missing=""
for p in $packages; do
    if command -v dpkg-query >/dev/null 2>&1; then
        case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
        *"ok installed"*) ;;
        *) missing="$missing $p" ;;
        esac
    fi
done
if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup: this is not a Debian system; install what corresponds to: $packages" >&2
elif [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        sudo=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo=sudo
    else
        echo "setup: packages are missing; run this line and then the same command again:" >&2
        echo "  sudo apt-get install -y$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
mkdir -p build
echo "$packages" >"$stamp"
