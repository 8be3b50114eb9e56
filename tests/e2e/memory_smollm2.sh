#!/usr/bin/env bash
# needs: model
# What ste models --fits says of a model is what a process takes at most, within 15 %: judging until the cache of keys and
# values is full, and a step of training on 2,048 tokens. --dry-run of a run says the like.
. "$2/tests/e2e/lib_model.sh"
cd "$dir" || exit 1
python3 - <<'P'
import json, random
random.seed(1)
words = "the of a model answer judge better worse reads true false number list case".split()
text = lambda n: " ".join(random.choice(words) for _ in range(n))
with open("pairs.jsonl", "w") as f:
    f.writelines(json.dumps({"prompt": text(100), "response_a": text(400), "response_b": text(400)}) + "\n" for _ in range(45))
with open("example.jsonl", "w") as f:
    f.write(json.dumps({"tokens": [random.randrange(1000, 40000) for _ in range(2048)], "n_prompt": 1024}) + "\n")
P
"$ste" models --fits --ctx 2048 --json >fits.json || exit 1
hold() { # WHAT COMMAND...
    python3 - "$@" <<'P'
import json, resource, subprocess, sys
what, command = sys.argv[1], sys.argv[2:]
said = next(r for r in json.load(open("fits.json")) if r["name"] == "smollm2-135m-instruct")[what]["bytes"]
rc = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=open("err", "w")).returncode
took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(f"{what}: {said / 1e6:.0f} MB were said, {took / 1e6:.0f} were taken")
sys.exit(open("err").read() if rc else 0 if abs(said - took) <= 0.15 * took else "that is not within 15 %")
P
}
hold train "$ste" sft --model smollm2-135m-instruct --in example.jsonl --out adapter --steps 1 --batch 1 --micro-tokens 2048 || exit 1
hold judge "$ste" judge --judge smollm2-135m-instruct --in pairs.jsonl --out verdicts.jsonl --no-cache --ctx 2048 --one-order || exit 1
