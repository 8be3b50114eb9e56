#!/usr/bin/env python3
"""Published rules of scoring against ste's, on recorded judgments made here: RewardBench's sections and parser by the
code of the `rewardbench` package, the pair parser and the agreement with votes by that of `fschat`, HelpSteer2's pairs by
pandas. The functions are taken out of the installed packages, whose imports want servers and GPUs."""

import ast
import importlib.util
import json
import random
import re

from common import MODELS, arguments, figure, finish, scratch, ste


def functions(package, path, names, scope):
    """NAMES out of a module's text, run in SCOPE."""
    root = importlib.util.find_spec(package).submodule_search_locations[0]
    tree = ast.parse(open(f"{root}/{path}").read())
    keep = [n for n in tree.body if getattr(n, "name", None) in names or
            (isinstance(n, ast.Assign) and getattr(n.targets[0], "id", None) in names)]
    exec(compile(ast.Module(keep, []), path, "exec"), scope)
    return scope


BITS = ["[[A]]", "[[B]]", "[[C]]", "[[a]]", "[A]", "[[A]", "[[ A ]]", "Answer A is better.", "B wins", "\n", "tie",
        "\U0001f600", "[[5]]", "\u00ab[[B]]\u00bb", "Final verdict: ", ""]


def outputs(n, rng):
    return ["".join(rng.choice(BITS) + rng.choice(["", " ", "\n"]) for _ in range(rng.randint(0, 5))) for _ in range(n)]


def row(subset, i, ab, ba, shuffled, label="chosen", prompt=None):
    judgment = lambda t: {"verdict": "invalid", "reason": "no marker", "logprob_a": None, "logprob_b": None, "reasoning": t}
    return {"suite": "recorded", "subset": subset, "id": f"{subset}-{i}", "prompt_key": f"{prompt or i:016x}",
            "state": "judged", "label": label, "is_shuffled": shuffled, "ab": judgment(ab), "ba": judgment(ba)}


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


def evaluate(a, d, rows, *flags):
    write(d / "recorded.jsonl", rows)
    out = json.loads(ste(a, "eval", "--from", d / "recorded.jsonl", *flags, "--json", "-", "--outcomes", d / "read.jsonl"))
    return out, [json.loads(line) for line in open(d / "read.jsonl")]


def rewardbench(a, d, rng):
    counts = functions("rewardbench", "constants.py", ["EXAMPLE_COUNTS", "SUBSET_MAPPING"], {})
    score = functions("rewardbench", "utils.py", ["calculate_scores_per_section"], {})["calculate_scores_per_section"]
    parse = functions("rewardbench", "generative.py", ["process_judgement"], {"re": re})["process_judgement"]
    rows, subsets = [], {}
    for subset, n in counts["EXAMPLE_COUNTS"].items():
        n = 447 if subset == "math-prm" else n
        for i, (x, y) in enumerate(zip(outputs(n, rng), outputs(n, rng))):
            shuffled = rng.random() > 0.5
            rows.append(row(subset, i, x, y, shuffled))
            winner = parse(y if shuffled else x, None)
            right, wrong = ("B", "A") if shuffled else ("A", "B")
            subsets.setdefault(subset, []).append(1 if winner == right else 0 if winner == wrong else 0.5)
    theirs = score(counts["EXAMPLE_COUNTS"], counts["SUBSET_MAPPING"], {s: sum(v) / len(v) for s, v in subsets.items()})
    ours, _ = evaluate(a, d, rows, "--suite", "rewardbench", "--compat", "rewardbench")
    found = {s["name"]: s["compat"] for s in ours["sections"]}
    figure("rewardbench sections, largest difference", max(abs(found[k] - v) for k, v in theirs.items()), "<", 1e-9,
           ", ".join(f"{k} {v:.4f}" for k, v in theirs.items()))
    figure("rewardbench overall, difference", abs(ours["overall"]["compat"] - sum(theirs.values()) / 4), "<", 1e-9)


def fastchat_parser(text):
    class Conversation:
        roles = ("user", "assistant")
        append_message = set_system_message = lambda *_: None
    scope = {"re": re, "ast": ast, "OPENAI_MODEL_LIST": ["judge"], "ANTHROPIC_MODEL_LIST": [], "TIE_DELTA": 0.1,
             "get_conversation_template": lambda _: Conversation(), "chat_completion_openai": lambda *_, **__: text}
    functions("fastchat", "llm_judge/common.py", ["run_judge_pair"], scope)
    judge = type("Judge", (), {"model_name": "judge", "prompt_template": {
        "system_prompt": "", "prompt_template": "{question}{answer_a}{answer_b}", "output_format": "[[A]]"}})
    answer = {"choices": [{"turns": [""]}]}
    return scope["run_judge_pair"]({"turns": [""]}, answer, answer, judge, None)[0]


def ram_parser(text):
    if "[[A]]" in text and "[[B]]" in text:
        return "error"
    return next((w for m, w in (("[[A]]", "A"), ("[[B]]", "B"), ("[[C]]", "tie")) if m in text), "error")


def parsers(a, d, rng):
    parse = functions("rewardbench", "generative.py", ["process_judgement"], {"re": re})["process_judgement"]
    texts = outputs(2000, rng)
    rows = [row("texts", i, t, "", False) for i, t in enumerate(texts)]
    for name, theirs in (("rewardbench", lambda t: parse(t, None)), ("ram", ram_parser), ("fastchat", fastchat_parser)):
        _, read = evaluate(a, d, rows, "--compat", name)
        wants = [theirs(t) for t in texts]
        figure(f"{name} parser, outputs read otherwise of 2000", sum(r["compat"]["winner"] != w for r, w in zip(read, wants)),
               "==", 0, ", ".join(f"{w} {wants.count(w)}" for w in ("A", "B", "tie", "error")))


def agreement(a, d, rng):
    scope = functions("fastchat", "llm_judge/compute_agreement.py",
                      ["revert", "get_mt_bench_votes_data", "convertvote", "equalvote", "get_mt_bench_agreement"], {})
    scope["get_judge_name"] = lambda j: "gpt4-pair" if j == "judge" else "human"
    rows, votes = [], []
    for q in range(400):
        verdicts = [rng.choice(["A", "B", "invalid"] if rng.random() < 0.1 else ["A", "B"]) for _ in range(2)]
        swap = {"A": "B", "B": "A"}
        final = ("error" if "invalid" in verdicts else
                 {"A": "model_a", "B": "model_b"}[verdicts[0]] if verdicts[0] == swap[verdicts[1]] else "tie")
        votes.append({"question_id": q, "model_a": "m", "model_b": "n", "winner": final, "judge": "judge", "turn": 1})
        for v in range(rng.randint(0, 4)):  # some questions without a vote, some with votes that contradict
            winner = rng.choice(["model_a", "model_b", "tie", "tie (bothbad)"])
            votes.append({"question_id": q, "model_a": "m", "model_b": "n", "winner": winner, "judge": f"h{v}", "turn": 1})
            r = row("turn 1", f"{q}-{v}", "", "", False, "tie" if "tie" in winner else "chosen", q + 1)
            ab, ba = verdicts if winner != "model_b" else verdicts[::-1]  # AB: the chosen answer first
            r["ab"].update(verdict=ab, reason="")
            r["ba"].update(verdict=ba, reason="")
            rows.append(r)
    data = scope["get_mt_bench_votes_data"]([votes])[0]
    ours, _ = evaluate(a, d, rows, "--suite", "mtbench-human")
    for key, ban in (("agreement_with_ties", []), ("agreement_without_ties", ["tie"])):
        agree, total = scope["get_mt_bench_agreement"](data, "gpt4-pair", "human", ban)
        figure(f"mt-bench {key}, votes", ours[key]["votes"], "==", total)
        figure(f"mt-bench {key}, difference", abs(ours[key]["rate"] - agree / total), "<", 1e-9, f"{agree} of {total}")


def helpsteer2(a, d, rng):
    import pandas as pd
    ratings, preferences = [], []
    for i in range(12):
        for k in range(1 if i == 5 else 2):  # one prompt has a single answer
            ratings.append({"prompt": f"Name {i} colours.", "response": f"answer {k} " * (k + 1 + i % 3), "helpfulness": rng.randint(2, 4),
                            "correctness": 1, "coherence": 1, "complexity": 1, "verbosity": 1})
        preferences.append({"prompt": f"Name {i} fruits.", "response_1": "apple", "response_2": "pear " * (1 + i % 3),
                            "preference_strength": rng.randint(-3, 3)})
    write(d / "ratings.jsonl", ratings)
    write(d / "preferences.jsonl", preferences)
    out = json.loads(ste(a, "eval", "--judge", MODELS["smollm2"], "--suite", "helpsteer2", "--data", d / "ratings.jsonl",
                         d / "preferences.jsonl", "--json", "-", "--outcomes", d / "outcomes.jsonl"))
    rows = pd.DataFrame([json.loads(line) for line in open(d / "outcomes.jsonl")])
    frame = pd.DataFrame(ratings)
    groups = [g for _, g in frame.groupby("prompt", sort=False) if len(g) == 2]
    chosen = [g.sort_values("helpfulness", kind="stable").response.iloc[-1] if g.helpfulness.nunique() > 1 else None for g in groups]
    longer = [None if c is None else "chosen" if len(c) == g.response.str.len().max() else "rejected" for c, g in zip(chosen, groups)]
    mine = rows[rows.suite == "ratings"]
    figure("helpsteer2 ratings, pairs labelled otherwise", sum(
        (w is None) != (s == "tied") or (w is not None and w != l) for w, s, l in zip(longer, mine.state, mine.longer)), "==", 0,
           f"{len(groups)} pairs, {sum(w is None for w in longer)} tied")
    strength = pd.DataFrame(preferences).preference_strength
    figure("helpsteer2 preferences, tied pairs", (rows[rows.suite == "preferences"].state == "tied").sum(), "==", (strength == 0).sum())
    for s in out["subsets"]:
        judged = rows[(rows.subset == s["name"]) & (rows.state == "judged")]
        ab = judged.ab.map(lambda j: j["verdict"] == "A")
        ba = judged.ba.map(lambda j: j["verdict"] == "B")
        figure(f"helpsteer2 {s['name']}, average of both orders, difference", abs(s["accuracy"] - (ab.mean() + ba.mean()) / 2), "<", 1e-9)
        figure(f"helpsteer2 {s['name']}, right in both, difference", abs(s["consistent"] - (ab & ba).mean()), "<", 1e-9)


if __name__ == "__main__":
    args = arguments(__doc__)
    where, numbers = scratch("published"), random.Random(5)
    for part in (rewardbench, parsers, agreement, helpsteer2):
        part(args, where, numbers)
    finish()
