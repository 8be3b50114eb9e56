# Shared by the tests of commands that need no run: sets ste, model (the smallest) and dir (removed at the end).
set -u
ste=$1
model=${STE_HOME:-$HOME/.cache/ste}/models/smollm2-135m-instruct.gguf
[ -f "$model" ] || { echo "no $model: ste pull smollm2-135m-instruct"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export STE_LOG=quiet
fail() {
    echo "FAILED: $*"
    exit 1
}
