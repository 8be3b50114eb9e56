#!/bin/sh
# dist.sh [COMMIT]: writes dist/ste-VERSION.tar.gz, the source of a commit (default: HEAD), and its SHA-256. `git archive`
# takes times from the commit and puts the commit's name into cmake/release.txt, which a build without git reads.
set -eu
cd "$(dirname "$0")/.."
commit=${1:-HEAD}
version=$(git show "$commit:CMakeLists.txt" | sed -n 's/^project(ste VERSION \([0-9.]*\).*/\1/p')
[ -n "$version" ] || { echo "dist: CMakeLists.txt of $commit names no version" >&2; exit 1; }
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "dist: changes that are not committed are left out" >&2
name=ste-$version
mkdir -p dist
umask 022
git -c tar.umask=0022 archive --format=tar --prefix="$name/" "$commit" >"dist/$name.tar.tmp"
gzip -9 -n -c "dist/$name.tar.tmp" >"dist/$name.tar.gz"
rm "dist/$name.tar.tmp"
(cd dist && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
