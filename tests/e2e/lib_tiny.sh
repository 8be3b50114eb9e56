# Shared by the tests that run the tiny model: sets ste, src, dir (removed at the end), with pairs in it, and tiny.
set -u
ste=$1
src=$2
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export STE_HOME=$dir/home TMPDIR=$dir/tmp
mkdir -p "$dir/home" "$dir/tmp"
fail() {
    echo "FAILED: $*"
    [ -s "$dir/err" ] && cat "$dir/err"
    exit 1
}
python3 "$src/tests/e2e/lib_tiny.py" "$dir" || fail "no tiny model"
tiny=$dir/tiny.gguf
for i in 1 2 3; do
    printf '{"id": "p%d", "prompt": "Question %d?", "chosen": "Yes, %d.", "rejected": "No."}\n' $i $i $i
done >"$dir/pairs.jsonl"
sed 's/"chosen"/"response_a"/; s/"rejected"/"response_b"/' "$dir/pairs.jsonl" >"$dir/judge.jsonl"
sed 's/"chosen"/"completion"/' "$dir/pairs.jsonl" >"$dir/sft.jsonl"
