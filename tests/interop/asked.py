"""asked.py ASKED KILLS: what recorder.py wrote in ASKED, beside the times of KILLS (a line each): whether something was
asked again whose reply had been handed over whole. Answers are saved within 20 ms, so those handed over just before a kill
may be."""
import collections
import json
import sys

NEAR = 0.05
rows = [json.loads(line) for line in open(sys.argv[1])]
kills = [float(line.split()[0]) for line in open(sys.argv[2])]
by = collections.defaultdict(list)
for r in rows:
    by[r["key"]].append(r)
more = {r["about"] for r in rows if r["probs"] > 256}  # asked for all log-probabilities, behind those of 256 tokens
near = half = wrong = 0
for same in by.values():
    for r in same[:-1]:
        if not r["whole"]:
            continue
        if any(abs(k - r["t"]) < NEAR for k in kills):
            near += 1
        elif r["about"] in more and r["probs"] <= 256:
            half += 1
        else:
            wrong += 1
            print("asked again:", {k: r[k] for k in ("t", "free", "adapter")}, "then", [x["t"] for x in same],
                  "kills", [round(k - r["t"], 3) for k in kills if k > r["t"]][:1])
lost = [s for s in by.values() if not any(r["whole"] for r in s)]
print(f"{len(by)} questions in {len(rows)} requests: {sum(not r['whole'] for r in rows)} had no whole reply, {near} had one within "
      f"{NEAR * 1000:.0f} ms of a kill, {half} were the first of two requests of a question; {wrong} asked again for nothing, "
      f"{len(lost)} never answered")
sys.exit(wrong > 0 or len(lost) > 0)
