#!/bin/sh
# models.sh STE NAME...: downloads the models that are not there yet; the SHA-256 decides.
set -eu
ste=$1
shift
for name in "$@"; do
    "$ste" pull "$name"
done
