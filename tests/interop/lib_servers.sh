# Shared by the scripts that run a real server: sets ste (the first argument), venv (the last one: with torch,
# transformers and gguf), src, home, model (MODEL), port, work (removed at the end).
set -u
ste=$(realpath "$1")
venv=$(realpath "${!#}")
src=$(cd "$(dirname "$0")/../.." && pwd)
home=${STE_HOME:-$HOME/.cache/ste}
model=${MODEL:-smollm2-135m-instruct}
port=$((20000 + RANDOM % 20000))
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill -- -"$server" 2>/dev/null; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; tail -n 5 "$work/err" "$work/server.log" 2>/dev/null; exit 1; }
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 DO_NOT_TRACK=1 STE_HOME=$home
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

folder=$home/interop/hf-$model # the model as a Hugging Face folder
make_folder() { # transformers' tokenizer from a GGUF loses the rule for digits of smollm, and NFC of qwen2
    [ -f "$folder/as-published" ] || "$venv/bin/python" - "$home/models" "$model.gguf" "$folder" 2>"$work/err" <<'PY' || fail "no folder of $model"
import pathlib, sys, torch
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
home, file, out = sys.argv[1:]
AutoModelForCausalLM.from_pretrained(home, gguf_file=file, dtype=torch.float32,
                                     quantization_config=GgufConfig(dequantize=True)).save_pretrained(out)
tokenizer = AutoTokenizer.from_pretrained(home, gguf_file=file)
if file.startswith("smollm"):
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
elif file.startswith("qwen2"):
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
tokenizer.save_pretrained(out)
pathlib.Path(out, "as-published").touch()
PY
}
torchrun() { # PROCESSES: train.command and what belongs to it
    echo "base: $folder, command: [$venv/bin/python, -m, torch.distributed.run, --standalone, --nproc-per-node, \"$1\", $src/trainers/trl/train.py]"
}
make_f32() { # $f32: the model's file with its tensors in float32, on which two engines differ by how they add up alone
    f32=$home/interop/$model-f32.gguf
    mkdir -p "$home/interop"
    [ -f "$f32" ] || { "$venv/bin/python" "$src/tests/interop/dequantize.py" "$home/models/$model.gguf" "$f32.part" 2>"$work/err" &&
        mv "$f32.part" "$f32"; } || fail "no $f32"
}
pairs() { # N: labelled ones, to be judged
    # shellcheck disable=SC2086
    cat ${PAIRS:-$src/../shared/data/preference/llmbar_half_a.jsonl $src/../shared/data/preference/hh_helpful_base.jsonl} | head -n "$1" |
        sed 's/"chosen"/"response_a"/; s/"rejected"/"response_b"/'
}
recipe() { # SERVER TRAIN: two iterations whose answers and judges are all there
    cat <<YAML
models: {seed: $model, answer: "$1", modify: "$1", judge: "$1"}
prompts: {pack: direct}
instructions: {files: [builtin], limit: 60}
select: {limit: ${LIMIT:-12}, max_chars: 400}
split: {dev: 0, test: 0.25}
pair: {kinds: {modify: 1, other: 1}, max_tokens: 48, system: Answer in one short sentence.}
check: {by: none}
judge: {samples: 2, orders: both}
filter: {rule: margin, trust_from: 100, balance: false}
train: {r: 8, lr: 0.001, max_steps: 4, batch: 4, $2}
engine: {activations: f32}
iterations: 2
YAML
}
look() { # RUN KIND: every judgment of every iteration is the server's, under the adapter of the iteration before
    "$ste" report "$1" >"$work/report" 2>"$work/err" || fail "$1: no report"
    python3 "$src/tests/e2e/sums.py" "$1" || fail "$1: sums do not add up"
    python3 - "$1" "$2" <<'PY' || fail "$1: judged elsewhere"
import sqlite3, sys
d = sqlite3.connect(sys.argv[1] + "/run.db")
made = dict(d.execute("select iteration, adapter_hash from iteration"))
assert len(set(made.values())) == 2, made
for table, back in ("judgment", 1), ("evaluation", 0):
    rows = d.execute(f"select t.iteration, p.numerics, p.adapter_hash, count(*), count(distinct t.logprob_a) from {table} t join "
                     "provenance p on p.id = t.provenance group by 1, 2, 3").fetchall()
    assert [r[0] for r in rows] == list(range(back, 3)), rows
    assert all(r[1].startswith(sys.argv[2] + " ") and r[2] == made.get(r[0] - back, "") for r in rows), (rows, made)
    print(f"{table}: " + ", ".join(f"iteration {r[0]}: {r[3]} with {r[2][:8] or 'the base'}" for r in rows))
PY
}
judge_by() { # JUDGE BASE OUT: in.jsonl by an adapter's folder on BASE, or by BASE ("" as JUDGE)
    "$ste" judge --judge "${1:-$2}" ${1:+--base "$2"} --in "$work/in.jsonl" --out "$work/$3.jsonl" --pack direct --no-cache \
        --activations f32 2>"$work/err" || fail "judged by $1 $2: exit $?"
}
judged() { # RUN SERVER WORST: adapters of both iterations give there what they give here, within WORST, and not what the base gives
    pairs "${JUDGED:-8}" >"$work/in.jsonl"
    judge_by "" $model base
    for i in 1 2; do
        judge_by "$1/adapters/iter-$i" $model here
        judge_by "$1/adapters/iter-$i" "$2" there
        python3 - "$work" "adapter of iteration $i" "$3" <<'PY' || fail "iteration $i: other verdicts than the engine's"
import json, statistics, sys
work, what, most = sys.argv[1], sys.argv[2], float(sys.argv[3])
there, here, base = [[x[o][k] for x in map(json.loads, open(f"{work}/{f}.jsonl")) for o in ("ab", "ba")
                      for k in ("logprob_a", "logprob_b")] for f in ("there", "here", "base")]
off, moved = [abs(x - y) for x, y in zip(there, here)], [abs(x - y) for x, y in zip(there, base)]
print(f"{what}: log-probabilities of {len(off) // 2} judgments {statistics.median(off):.5f} from our engine's with it in the median, "
      f"{max(off):.5f} at most; {statistics.median(moved):.5f} and {max(moved):.5f} from our engine's without it")
sys.exit(not off or max(off) > most or sum(x * x for x in off) >= sum(x * x for x in moved))
PY
    done
}
