#!/usr/bin/env bash
# package_container.sh [WORK]: the image of packaging/container/Containerfile, built of the release archive by podman or
# buildah (vfs, chroot: as root, without a daemon) on a debootstrap (WORK/root-base, made if need be), since no registry
# need be there; in it the program runs as a user who is not root. 77: there is no builder.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$(mktemp -d /var/tmp/ste-container.XXXXXX)}
command -v buildah >/dev/null && [ "$(id -u)" = 0 ] || { echo "package_container: buildah as root is needed" >&2; exit 77; }
fail() { echo "package_container: $*" >&2; exit 1; }
mkdir -p "$work"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
build() { buildah --root "$work/store" --runroot "$work/run" "$@"; }
[ -d "$work/root-base" ] || debootstrap --variant=minbase bookworm "$work/root-base" "${MIRROR:-http://deb.debian.org/debian}" >/dev/null || fail "debootstrap"
base=$(build from scratch)
(cd "$work/root-base" && tar -c .) >"$work/base.tar"
build add -q "$base" "$work/base.tar" / >/dev/null
build commit -q "$base" localhost/debian:bookworm-slim >/dev/null
build rm "$base" >/dev/null
rm "$work/base.tar"
(cd "$here" && sh scripts/dist.sh >/dev/null)
rm -rf "$work/context" && mkdir "$work/context"
tar -xzf "$here"/dist/ste-*.tar.gz -C "$work/context" --strip-components=1
build build -q --build-arg BASE=localhost/debian:bookworm-slim -f "$work/context/packaging/container/Containerfile" -t localhost/ste "$work/context" >"$work/image.log" 2>&1 ||
    { tail -20 "$work/image.log"; fail "the build"; }
c=$(build from localhost/ste)
trap 'build rm "$c" >/dev/null' EXIT
run() { build run --user ste "$c" -- "$@"; }
build inspect --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Volumes}}' "$c" | tee "$work/config"
grep -q '^ste \[ste\] map\[/models' "$work/config" || fail "user, entry point, volume"
[ "$(run id -un)" = ste ] || fail "it runs as root"
run ste --version | grep -qE '^ste [0-9.]+ \([0-9a-f]{12}, ' || fail "--version"
run ste doctor || fail "doctor"
run sh -c 'test -w /models && test ! -w /usr/bin && ! command -v gcc' || fail "what the user may write, what is left of the build"
echo "package_container: built, and it runs ($(du -sh "$(build mount "$c")" | cut -f1))"
