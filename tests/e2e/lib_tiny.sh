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

# ---- for runs of the loop on it, in the current folder
rows() { # NAME COUNT
    for i in $(seq "$2"); do
        echo "{\"id\": \"p$i\", \"prompt\": \"$1 $i of $((i * 37 % 101))?\", \"chosen\": \"Yes, $i, since $((i * i)).\", \"rejected\": \"No, $((i * 7)).\"}"
    done
}
recipe() { # ITERATIONS TRAIN: a recipe of pairs from labelled.jsonl
    cat <<YAML
models: {seed: $dir/judge.gguf}
prompts: {pack: direct}
pair: {kinds: {labelled: 1}, labelled: [$dir/labelled.jsonl]}
check: {by: none}
select: {min_chars: 1, duplicate: 0}
split: {dev: 0.2, test: 0.2, dev_pairs: 0, cluster: 1}
judge: {samples: 2, orders: both}
filter: {rule: margin, trust_from: 100}
train: {r: 2, lr: 0.001, batch: 4, warmup: 1, order: easy_first, $2}
iterations: $1
YAML
}
refuse() { # CODE PART ARGUMENT...
    local code=$1 part=$2 got=0
    shift 2
    "$ste" "$@" >out 2>err || got=$?
    [ "$got" = "$code" ] && grep -qF -- "$part" err || fail "$*: exit $got, not $code with: $part"
}
sql() { # RUN STATEMENT
    python3 -c "import sqlite3, sys; d = sqlite3.connect(sys.argv[1] + '/run.db'); print(*d.execute(sys.argv[2])); d.commit()" "$@"
}
near() { # A B BOUND [of-largest]: no two logits differ by more than BOUND, or than BOUND of the largest
    python3 -c "
import struct, sys
a, b = (struct.unpack(f'<{len(d) // 4}f', d) for d in (open(f, 'rb').read() for f in sys.argv[1:3]))
most, largest = max(abs(x - y) for x, y in zip(a, b)), max(map(abs, a))
bound = float(sys.argv[3]) * (largest if sys.argv[4:] else 1)
sys.exit(f'{sys.argv[1:]}: they differ by {most:g} of {largest:g}') if len(a) != len(b) or not most <= bound else None
" "$@" || fail "not near"
}
serve() { # JUDGE FLAGS...: starts ste serve on it; sets pid and url
    rm -f serve.txt
    "$ste" serve --judge "$1" --port 0 --no-cache "${@:2}" >serve.txt 2>err &
    pid=$!
    for _ in $(seq 200); do
        [ -s serve.txt ] && break
        kill -0 "$pid" 2>/dev/null || fail "serve $1"
        sleep 0.1
    done
    url=$(sed -n '1s/^\(http:[^ ]*\): .*/\1/p' serve.txt)
    [ -n "$url" ] || fail "serve $1 says no address: $(cat serve.txt)"
}
