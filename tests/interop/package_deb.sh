#!/usr/bin/env bash
# package_deb.sh [WORK]: the release archive, twice the same bytes; of it, without git, the Debian packages; lintian has
# no word against them; in a fresh Debian 12 (debootstrap) they are installed, work, and go again. As root, with
# dpkg-dev, debhelper, lintian, debootstrap. WORK/root-base is a debootstrap that is there already; CHECK=1 runs the
# tests within the build, too; BUILT=1 takes the packages that WORK has. What there is no tool for ends it with 77.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$(mktemp -d /var/tmp/ste-deb.XXXXXX)}
for tool in dpkg-buildpackage dh lintian debootstrap chroot; do
    command -v $tool >/dev/null || { echo "package_deb: $tool is not here" >&2; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "package_deb: a chroot needs root" >&2; exit 77; }
fail() { echo "package_deb: $*" >&2; exit 1; }
root=$work/root
mkdir -p "$work"

if [ "${BUILT:-}" != 1 ]; then
echo "== release archive"
cd "$here"
sh scripts/dist.sh >/dev/null
archive=$(ls dist/ste-*.tar.gz) version=$(basename "$archive" .tar.gz) && version=${version#ste-}
first=$(sha256sum <"$archive")
rm "$archive"
(umask 077 && TZ=Asia/Kolkata sh scripts/dist.sh >/dev/null)
[ "$first" = "$(sha256sum <"$archive")" ] || fail "two release archives of one commit differ"

echo "== packages"
rm -rf "$work/build" && mkdir "$work/build"
cp "$archive" "$work/build/ste_$version.orig.tar.gz"
tar -xzf "$archive" -C "$work/build"
cp -r "$work/build/ste-$version/packaging/debian" "$work/build/ste-$version/debian"
cd "$work/build/ste-$version"
[ "$(dpkg-parsechangelog -S Version)" = "$version-0ste1" ] || fail "debian/changelog is not of $version"
grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md is not of $version"
options="parallel=$(nproc)"
[ "${CHECK:-}" = 1 ] || options="$options nocheck"
DEB_BUILD_OPTIONS=$options dpkg-buildpackage -us -uc >"$work/build.log" 2>&1 || { tail -30 "$work/build.log"; fail "dpkg-buildpackage"; }
cd ..
lintian --fail-on error,warning --allow-root ./*.changes || fail "lintian"
ls -l ./*.deb
fi
cd "$work/build"
version=$(ls ste_*.orig.tar.gz | sed 's/ste_\(.*\).orig.tar.gz/\1/')
commit=$(sed -n '1s/^\([0-9a-f]\{12\}\).*/\1/p' "ste-$version/cmake/release.txt")

echo "== a fresh Debian"
if [ ! -d "$work/root-base" ]; then
    debootstrap --variant=minbase bookworm "$work/root-base" "${MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" ||
        { tail -3 "$work/debootstrap.log"; fail "debootstrap: no mirror?"; }
fi
rm -rf --one-file-system "$root" && cp -a "$work/root-base" "$root"
mkdir -p "$root/packages" && cp ./*.deb "$root/packages"
# A tiny model and a pair for it.
python3 "$here/tests/e2e/lib_tiny.py" "$root/packages"
echo '{"prompt": "What is 1 + 1?", "response_a": "2", "response_b": "a fish"}' >"$root/packages/pairs.jsonl"
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
# Its /proc is there for each command alone, and nothing of this machine's /dev: debootstrap made the few that it needs.
in_root() {
    env -u SSL_CERT_FILE -u SSL_CERT_DIR -u STE_HOME LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root unshare --mount --propagation private \
        sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$root" "$@"
}
in_root sh -c 'rm -f /etc/dpkg/dpkg.cfg.d/*; apt-get update -qq && apt-get install -y -qq --no-install-recommends man-db bash-completion gcc libc6-dev pkg-config >/dev/null' ||
    fail "apt-get"
before=$(in_root dpkg -l | wc -l)
in_root sh -c 'apt-get install -y -qq --no-install-recommends /packages/*.deb >/dev/null' || fail "install"
in_root ste --version | tee "$work/version"
grep -q "^ste $version ($commit, " "$work/version" || fail "--version does not name $commit"
in_root sh -c 'cd /tmp && ste judge --judge /packages/judge.gguf --in /packages/pairs.jsonl --out -' | grep -q '"verdict"' || fail "ste judge"
in_root sh -c 'man ste-judge | cat' | grep -q -- '--one-order' || fail "man ste-judge"
in_root sh -c 'man ste && man 5 ste-recipe' >/dev/null || fail "man ste"
in_root bash -c '. /usr/share/bash-completion/bash_completion
    _completion_loader ste; COMP_LINE="ste judge --on" COMP_POINT=14; _ste; echo "${COMPREPLY[@]}"' | grep -qx -- '--one-order' || fail "completion"
cat >"$root/packages/v.c" <<'C'
#include <ste.h>
#include <stdio.h>
int main(void) { return puts(ste_version()) < 0; }
C
in_root sh -c 'cd /tmp && gcc /packages/v.c -o v $(pkg-config --cflags --libs ste) && ./v' | grep -qx "$version" || fail "a program with libste"
# (Debian's libcurl.a asks for libraries that libcurl4-openssl-dev does not bring: all but ours is shared.)
in_root sh -c 'cd /tmp && gcc /packages/v.c -o v -l:libste.a $(pkg-config --libs jansson yaml-0.1 libcurl sqlite3 libpcre2-8 libutf8proc libcrypto libarchive libmicrohttpd) -lm && ./v' |
    grep -qx "$version" || fail "a program with libste.a"
in_root ste doctor || fail "doctor"
in_root sh -c 'apt-get purge -y -qq ste libste0 libste-dev >/dev/null' || fail "removing"
left=$(in_root sh -c 'find / -xdev \( -path /proc -o -path /dev -o -path /packages -o -path /tmp -o -path /var -o -path /root \) -prune -o \( -name "*libste*" -o -name ste -o -name "ste[-.]*" -o -name _ste \) -print')
[ -z "$left" ] || fail "left behind: $left"
echo "package_deb: $version installs, works and goes ($(du -ch ./*.deb | tail -1 | cut -f1) of packages)"
