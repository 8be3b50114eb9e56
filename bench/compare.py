"""ste beside what a user could pick on the same machine: same model file, same real prompts, same threads, rounds
interleaved, medians. Prints a table of ratios with their spread, and the share of what the hardware allows, measured
in the same run; --json keeps all rounds."""

import argparse
import json
import os
import pathlib
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "interop"))
sys.path.insert(0, str(HERE))
from common import HOME, SharedPrompt, chat_ids, clock, dialogue_ids, judge_pairs, label_ids, median, ste, text_ids  # noqa: E402
import peers  # noqa: E402

MODELS = {"135M": "smollm2-135m-instruct", "0.5B": "qwen2.5-coder-0.5b-instruct", "1.5B": "qwen2.5-coder-1.5b-instruct"}
SHORT = {"135M": "smollm2", "0.5B": "qwen2.5", "1.5B": "qwen2.5"}  # whose tokenizer and float32 weights
WEIGHTS = {"135M": 106.2e6, "0.5B": 357.9e6, "1.5B": 1310.1e6}  # of the linear layers: products a token
# of a prompt's: the last layer goes no further than q, k and v, but for the last row
PREFILL_WEIGHTS = {"135M": 103.2e6, "0.5B": 344.0e6, "1.5B": 1266.4e6}
PROMPT, NEW = 512, 48
TRAIN_PROMPT, TRAIN_COMPLETION = 448, 64
JOB_SAMPLES, JOB_NEW = 15, 96
JOB_PROBES = 3  # prompts, not of the job, by which a peer's settings are chosen


def bench(a, size, *flags, prompts=()):
    """One run of `ste bench`; its JSON. PROMPTS are lists of ids."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        if prompts:
            file.write("".join(json.dumps({"tokens": p}) + "\n" for p in prompts))
            file.flush()
            flags += "--prompts", file.name
        return json.loads(ste(a, "bench", "--model", path(size), "--json", "-", *flags))


def path(size):
    return HOME / "models" / f"{MODELS[size]}.gguf"


def limits(a):
    """What the hardware gives now: {"f32": flop/s, "int8": op/s, "read": bytes/s}."""
    out = subprocess.run([a.limits, "--limits", str(a.threads)], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


class Table:
    def __init__(self):
        self.rows, self.record = [], {}

    def row(self, work, against, ours, theirs, ratio, ratios, note):
        self.rows.append({"work": work, "against": against, "ste": ours, "peer": theirs, "ratio": ratio, "lowest": min(ratios),
                          "highest": max(ratios), "rounds": len(ratios), "note": note})
        print(f"{work:38.38} {against:20.20} {ours:8.1f} {theirs:8.1f} {ratio:6.2f}x  {min(ratios):.2f}-{max(ratios):.2f}"
              + (f"  {note}" if note else ""), flush=True)

    def add(self, work, against, ours, theirs, note=""):
        """Both are lists of rounds; higher is better."""
        self.record[f"{work}, {against}"] = {"ste": ours, "peer": theirs}
        self.row(work, against, median(ours), median(theirs), median(ours) / median(theirs), [o / t for o, t in zip(ours, theirs)], note)

    def total(self, work, against, ours, theirs, note=""):
        """Both are lists of seconds, a part of one work each."""
        self.record[f"{work}, {against}"] = {"ste": ours, "peer": theirs}
        self.row(work, against, sum(ours), sum(theirs), sum(theirs) / sum(ours), [t / o for o, t in zip(ours, theirs)], note)

    def share(self, work, used, allowed, of):
        row = {"work": work, "against": of, "share": used / allowed}
        self.rows.append(row)
        print(f"{work:38.38} {of:20.20} {used:8.2f} {allowed:8.2f} {100 * used / allowed:6.0f} %", flush=True)


def generating(a, table, size, samples):
    """Prefill (with the first count of samples) and decoding, one count of samples after the other."""
    # Another prompt each round: a peer may keep the last one's cache.
    text = dialogue_ids(a, SHORT[size], PROMPT * a.rounds * len(samples))
    prompts = [text[i:i + PROMPT] for i in range(0, len(text), PROMPT)]
    several = [SharedPrompt(path(size), PROMPT, max(samples), NEW)]
    if size == "1.5B" and a.openvino:
        several.append(peers.OpenVino(path(size), a.threads))
    for count in samples:
        ours, theirs, most = [], [[] for _ in several], []
        for _ in range(a.rounds):
            ids = prompts.pop()
            for k, p in enumerate(several):
                theirs[k].append(p.round(ids, count, NEW))
            j = bench(a, size, "--prompt-tokens", PROMPT, "--samples", count, "--new-tokens", NEW, "--threads", a.threads, prompts=[ids])
            ours.append((j["prefill_tokens_per_second"], j["decode_tokens_per_second"]))
            most.append(limits(a))
        for k, p in enumerate(several):
            if count == samples[0]:
                table.add(f"prefill {PROMPT}, {size}", p.name, [o[0] for o in ours], [t[0] for t in theirs[k]], p.settings())
            table.add(f"decode {count} x {NEW}, {size}", p.name, [o[1] for o in ours], [t[1] for t in theirs[k]], p.settings())
        if count == samples[0]:
            for unit in ("int8", "bf16"):
                if most[0][unit] > 0:
                    table.share(f"prefill {PROMPT}, {size}, TOP/s", median([o[0] for o in ours]) * 2 * PREFILL_WEIGHTS[size] / 1e12,
                                median([m[unit] for m in most]) / 1e12, f"{unit} limit here")
        if count == 1:
            table.share(f"decode 1, {size}, GB/s of weights", median([o[1] for o in ours]) * path(size).stat().st_size / 1e9,
                        median([m["read"] for m in most]) / 1e9, "memory limit here")


def scaling(a, table, size):
    one, two = [], []
    for _ in range(a.rounds):
        for threads, to in ((1, one), (2, two)):
            j = bench(a, size, "--samples", 1, "--new-tokens", 1, "--threads", threads, "--train")
            to.append((j["prefill_tokens_per_second"], j["train_tokens_per_second"]))
    for k, what in enumerate(("prefill", "training")):
        table.add(f"{what}, {size}, 2 threads", "ste, 1 thread", [t[k] for t in two], [o[k] for o in one])


def job_pairs(a, size):
    """The job's pairs, a list for each round (every R-th of them), and prompts to choose settings by."""
    pairs = judge_pairs(a, SHORT[size], a.job_pairs + JOB_PROBES)
    return [pairs[r:a.job_pairs:a.job_rounds] for r in range(a.job_rounds)], [p[0] for p in pairs[a.job_pairs:]]


def job(a, table, size):
    """Each peer does the whole job once, interleaved with ours by rounds."""
    rounds, probes = job_pairs(a, size)
    longest = max(len(p[0]) for r in rounds for p in r)
    shared = SharedPrompt(path(size), longest, JOB_SAMPLES, a.job_new)
    server = peers.LlamaServer(a.server, path(size), a.threads, max([longest, *map(len, probes)]), probes, JOB_SAMPLES, a.job_new)
    ours, copied, served = [], [], []
    before = []
    for pairs in rounds:
        prompts = [p[0] for p in pairs]
        start = clock()
        for p in prompts:
            # The first token comes from the prompt's logits. What begins all prompts stays in its cache.
            shared.round(p, JOB_SAMPLES, a.job_new - 1, len(os.path.commonprefix([before, p[:-1]])))
            before = p
        copied.append(clock() - start)
        served.append(server.job(prompts, JOB_SAMPLES, a.job_new)[0])
        j = bench(a, size, "--job", "--samples", JOB_SAMPLES, "--new-tokens", a.job_new, "--prompt-tokens", 1, "--threads", a.threads, prompts=prompts)
        if j["job_tokens"] != len(prompts) * JOB_SAMPLES * a.job_new:
            sys.exit(f"ste wrote {j['job_tokens']} tokens of {len(prompts) * JOB_SAMPLES * a.job_new}")
        ours.append(j["job_seconds"])
    server.close()
    work = f"{a.job_pairs} pairs x {JOB_SAMPLES} x {a.job_new}, {size}, s"
    table.total(work, server.name, ours, served, server.settings())
    table.total(work, "llama.cpp, seq_cp", ours, copied, shared.settings())


def judge_early(a, size, pairs):
    """The loop's own judge step over labelled pairs: (seconds, judgments, tokens written, pairs judged right, the prompts'
    ids). Nothing is trained."""
    folder = tempfile.TemporaryDirectory()
    run, given = pathlib.Path(folder.name) / "run", pathlib.Path(folder.name) / "pairs.jsonl"
    given.write_text("".join(json.dumps({"id": str(k), "prompt": prompt, "chosen": chosen, "rejected": rejected}) + "\n"
                             for k, (_, prompt, chosen, rejected) in enumerate(pairs)))
    settings = {"models.seed": path(size), "pair.kinds": "labelled=1", "pair.labelled": given, "select.labels": "none", "select.min_chars": 1,
                "split.dev": 0, "split.test": 0, "judge.samples": JOB_SAMPLES, "judge.max_tokens": a.job_new}
    ste(a, "select", run, "--recipe", "small", *(x for key, value in settings.items() for x in ("--set", f"{key}={value}")))
    ste(a, "pair", run)
    ste(a, "judge-step", run, "--threads", a.threads)
    db = sqlite3.connect(run / "run.db")
    seconds, = db.execute("SELECT seconds FROM work WHERE step = 'judge'").fetchone()
    judgments, tokens, right, too_long = db.execute("SELECT count(*), sum(length(completion)) / 4, sum(correct), sum(prompt IS NULL) FROM judgment").fetchone()
    prompts = db.execute("SELECT DISTINCT pair.position, prompt.tokens FROM judgment JOIN pair ON pair.id = judgment.pair JOIN prompt ON prompt.id = judgment.prompt "
                         "ORDER BY 1").fetchall()
    db.close()
    folder.cleanup()
    if too_long or len(prompts) != len(pairs):
        sys.exit(f"{len(prompts)} of {len(pairs)} pairs were judged")
    return seconds, judgments, tokens, right, [list(struct.unpack(f"<{len(t) // 4}i", t)) for _, t in prompts]


def early(a, table, size):
    """What the exact saving is worth: our judge step stops at a pair's first right sample, the server takes them all. Both
    end at the end of the turn or at the verdict, at the limit the latest. In one go, as a user would: ours, theirs, ours."""
    rounds, probes = job_pairs(a, size)
    pairs = [p for r in rounds for p in r]
    first, judgments, tokens, right, prompts = judge_early(a, size, pairs)
    server = peers.LlamaServer(a.server, path(size), a.threads, max(map(len, prompts + probes)), probes, JOB_SAMPLES, a.job_new)
    # Up to the verdict: its label, which ours draws from two, is not asked of it.
    served, written = server.job(prompts, JOB_SAMPLES, a.job_new, stop="Verdict:")
    server.close()
    ours = [first, judge_early(a, size, pairs)[0]]
    work = f"{a.job_pairs} pairs, early stopping, {size}, s"
    table.record[f"{work}, {server.name}"] = {"ste": ours, "peer": [served]}
    mean = sum(ours) / len(ours)
    table.row(work, server.name, mean, served, served / mean, [served / o for o in ours],
              f"{judgments} judgments of {a.job_pairs * JOB_SAMPLES}, {right} pairs with a right one; {tokens} tokens of {written}; {server.settings()}; "
              "ours twice")


def direct_ids(short, prompt, first, second):
    """Ids of what pack `direct` asks, up to the token that is the label. The fence is as long as ours."""
    import yaml

    judge = yaml.safe_load((HERE.parent / "prompts" / "direct.yaml").read_text())["judge"]
    text = judge["user"]
    for name, value in (("criteria", judge["criteria"]), ("references", ""), ("fence", "3fa91c02"), ("prompt", prompt), ("response_a", first),
                        ("response_b", second)):
        text = text.replace("{{" + name + "}}", value)
    return chat_ids(short, [{"role": "user", "content": text}]) + text_ids(short, judge["closing"])


def evaluate(a, table, size):
    """Labelled pairs in both orders, the verdict and the log-probabilities of its labels from one token: `ste eval` as a
    user starts it, and the same questions over HTTP. Cut into parts that both do in turn."""
    pairs = judge_pairs(a, SHORT[size], a.eval_pairs + JOB_PROBES, 320, 60)
    asked = [[direct_ids(SHORT[size], p, x, y) for x, y in ((c, r), (r, c))] for _, p, c, r in pairs]
    probes = [ids for both in asked[a.eval_pairs:] for ids in both]
    server = peers.LlamaServer(a.server, path(size), a.threads, max(len(ids) for both in asked for ids in both), probes, 1, 1)
    ours, theirs, same, verdicts = [], [], 0, 0
    for part in range(a.job_rounds):
        chosen = range(part, a.eval_pairs, a.job_rounds)
        took, named = server.choose([ids for k in chosen for ids in asked[k]], label_ids(SHORT[size]))
        theirs.append(took)
        with tempfile.TemporaryDirectory() as folder:
            data, outcomes = pathlib.Path(folder) / "pairs.jsonl", pathlib.Path(folder) / "outcomes.jsonl"
            data.write_text("".join(json.dumps({"prompt": pairs[k][1], "chosen": pairs[k][2], "rejected": pairs[k][3]}) + "\n" for k in chosen))
            start = clock()
            ste(a, "eval", "--judge", path(size), "--pack", "direct", "--data", data, "--no-cache", "--outcomes", outcomes, "--threads", a.threads)
            ours.append(clock() - start)
            got = [json.loads(line)[order]["verdict"] for line in outcomes.read_text().splitlines() for order in ("ab", "ba")]
        same += sum(x == y for x, y in zip(got, named))
        verdicts += len(got)
    server.close()
    table.total(f"eval, {a.eval_pairs} pairs, both orders, {size}, s", server.name, ours, theirs,
                f"{60 * a.eval_pairs / sum(ours):.0f} and {60 * a.eval_pairs / sum(theirs):.0f} pairs a minute; {same} of {verdicts} verdicts "
                f"the same; {server.shown}")


def peer_trains(a, size, call):
    """(tokens a second, peak MB) of a function of peers.py, in a process of its own, so that its memory is its own; None
    where it failed."""
    call = call.format(f"{SHORT[size]!r}, json.loads(sys.stdin.read()), {TRAIN_PROMPT}, {TRAIN_COMPLETION}, 1")
    code = f"import sys, json; sys.path.insert(0, {str(HERE)!r}); import peers; print('RESULT', json.dumps(peers.{call}))"
    out = subprocess.run([sys.executable, "-c", code], input=json.dumps(dialogue_ids(a, SHORT[size], 2048)), capture_output=True, text=True)
    result = [line for line in out.stdout.splitlines() if line.startswith("RESULT ")]
    if not result:
        print(f"     {call.split('(')[0]} failed: {out.stderr.strip().splitlines()[-1:]}")
        return None
    rates, mb = json.loads(result[0][7:])
    return median(rates), mb


def our_dpo(a, size, folder, k):
    """(tokens a second, peak MB) of a step of `ste dpo` behind one to warm up."""
    log, out = folder / f"log{k}", folder / f"out{k}"
    p = subprocess.Popen([a.ste, "dpo", "--model", path(size), "--in", folder / "rows.jsonl", "--out", out, "--batch", "2", "--order", "file",
                          "--steps", "2", "--threads", str(a.threads), "--log", log], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while p.poll() is None:
        for line in pathlib.Path(f"/proc/{p.pid}/status").read_text().splitlines():
            peak = max(peak, int(line.split()[1]) // 1024) if line.startswith("VmHWM:") else peak
        time.sleep(0.02)
    if p.returncode:
        sys.exit(p.stderr.read().decode())
    step = json.loads(log.read_text().splitlines()[-1])
    return 2 * 2 * (TRAIN_PROMPT + TRAIN_COMPLETION) / step["seconds"], peak


def preference(a, table, size):
    """DPO with its term of likelihood, two preferences a step, the reference the model without its adapter. Tokens are
    those of prompt and completion, for each of both completions."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as out:
        folder = pathlib.Path(out)
        rows = peers.preferences(dialogue_ids(a, SHORT[size], 2048), TRAIN_PROMPT, TRAIN_COMPLETION, 4)
        (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        for k in range(a.train_rounds):
            result = peer_trains(a, size, "trl_dpo({})")
            if not result:
                return
            theirs.append(result)
            ours.append(our_dpo(a, size, folder, k))
    table.add(f"DPO, {size}", "TRL + PEFT, float32", [o[0] for o in ours], [t[0] for t in theirs])
    table.add(f"memory of DPO, {size}, 1/GB", "TRL + PEFT, float32", [1024 / o[1] for o in ours], [1024 / t[1] for t in theirs])


def training(a, table, size, peers=True):
    """Peers run in a process of their own, so that their memory is theirs; steps of all are interleaved by rounds. Where
    the CPU multiplies bfloat16, TRL and ours also train in it. Without PEERS: only what share of the limit ours takes."""
    limit = limits(a)
    pairs = None if limit["bf16"] == 0 else "bf16" if limit["isa"] == "amx" else "bf16-dot"
    calls = {"trl": "trl({})", "torch_loop": "torch_loop({})", **({"trl_bf16": "trl({}, True)"} if pairs else {})} if peers else {}
    ours, ours_bf16, memory, most = [], [], [], []
    theirs = {name: [] for name in calls}
    peak = {}
    for _ in range(a.train_rounds):
        for name, call in calls.items():
            result = peer_trains(a, size, call)
            if result:
                theirs[name].append(result[0])
                peak[name] = max(result[1], peak.get(name, 0))
        flags = ("--train", "--samples", 1, "--new-tokens", 1, "--prompt-tokens", 1, "--threads", a.threads)
        j = bench(a, size, *flags)
        ours.append(j["train_tokens_per_second"])
        memory.append(j["train_peak_mb"])
        if pairs:
            ours_bf16.append(bench(a, size, *flags, "--train-activations", pairs)["train_tokens_per_second"])
        most.append(limits(a))
    for name, shown, mine in (("trl", "TRL + PEFT, float32", ours), ("torch_loop", "torch + PEFT loop", ours),
                              ("trl_bf16", "TRL + PEFT, bfloat16", ours), ("trl_bf16", "the same, ours too", ours_bf16)):
        if len(theirs.get(name, [])) == len(mine) > 0:
            table.add(f"LoRA training, {size}", shown, mine, theirs[name])
            if mine is ours:
                table.add(f"memory of training, {size}, 1/GB", shown, [1024 / m for m in memory], [1024 / peak[name]] * len(ours))
    table.share(f"LoRA training, {size}, GFLOP/s", median(ours) * 4 * WEIGHTS[size] / 1e9, median([m["f32"] for m in most]) / 1e9,
                "f32 limit here")


WORK = {
    "generate-1.5B": lambda a, t: generating(a, t, "1.5B", [16, 1]),
    "generate-0.5B": lambda a, t: generating(a, t, "0.5B", [16, 64, 1]),
    "generate-135M": lambda a, t: generating(a, t, "135M", [16, 1]),
    "train-0.5B": lambda a, t: training(a, t, "0.5B"),
    "train-135M": lambda a, t: training(a, t, "135M"),
    "train-1.5B": lambda a, t: training(a, t, "1.5B", False),
    "dpo-0.5B": lambda a, t: preference(a, t, "0.5B"),
    "dpo-135M": lambda a, t: preference(a, t, "135M"),
    "scaling": lambda a, t: [scaling(a, t, s) for s in ("0.5B", "135M")],
    "job-0.5B": lambda a, t: job(a, t, "0.5B"),
    "early-0.5B": lambda a, t: early(a, t, "0.5B"),
    "eval-0.5B": lambda a, t: evaluate(a, t, "0.5B"),
}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--ste", default=str(HERE.parent / "build" / "ste"))
    p.add_argument("--limits", default=str(HERE.parent / "build" / "ste-bench-kernels"))
    p.add_argument("--data", default=os.environ.get("STE_DATA") or str(HERE.parent.parent / "shared" / "data"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--train-rounds", type=int, default=3)
    p.add_argument("--job-rounds", type=int, default=5, help="parts into which the job is cut, each done by all in turn")
    p.add_argument("--job-pairs", type=int, default=48)
    p.add_argument("--eval-pairs", type=int, default=500)
    p.add_argument("--job-new", type=int, default=96, help="tokens of each of its judgments")
    p.add_argument("--server", default=str(HOME / "bench" / "llama-server"))
    p.add_argument("--openvino", type=int, default=1, help="0: leave it out")
    p.add_argument("--json", default=str(HERE / "figures.json"))
    p.add_argument("work", nargs="*", help=f"of {', '.join(WORK)} (default: all)")
    a = p.parse_args()
    for w in a.work:
        if w not in WORK:
            p.error(f"there is no {w}")
    a.job_rounds = min(a.job_rounds, a.job_pairs)
    table = Table()
    m = limits(a)
    print(f"{a.threads} threads; this machine now: int8 {m['int8'] / 1e9:.0f} GOP/s ({m['isa']}), f32 {m['f32'] / 1e9:.0f} GFLOP/s, "
          f"memory {m['read'] / 1e9:.1f} GB/s\n\n{'work':38} {'against':20} {'ste':>8} {'peer':>8} {'ratio':>7}  spread of rounds")
    for w in a.work or WORK:
        WORK[w](a, table)
        pathlib.Path(a.json).write_text(json.dumps({"limits": m, "rows": table.rows, "rounds": table.record}, indent=1))


if __name__ == "__main__":
    main()
