"""sums.py RUN: every instruction, pair and judgment of a finished run is in exactly one state, and the sums match."""
import collections
import json
import sqlite3
import sys

run = sys.argv[1]
db = sqlite3.connect(f"file:{run}/run.db?mode=ro", uri=True)
report = json.load(open(f"{run}/report.json"))
bad = 0


def check(what, a, b):
    global bad
    if a != b:
        bad += 1
        print(f"{what}: {a} is not {b}")


def one(sql, *args):
    return db.execute(sql, args).fetchone()[0]


def by(sql, *args):
    return collections.Counter(dict(db.execute(sql, args).fetchall()))


funnel = report["funnel"]
recipe = json.loads(one("select value from meta where key = 'recipe'"))
checked = recipe["check"]["by"] != "none"
# instructions: lines of the files = states; kept ones are split; each kept one has one pair
states = by("select state, count(*) from instruction group by 1")
check("instructions in the report", funnel["instructions"]["states"], dict(states))
check("sum of instruction states", sum(states.values()), funnel["instructions"]["total"])
files = db.execute("select value from meta where key = 'recipe'").fetchone()[0]
recipe = json.loads(files)
shares = {k for k, share in recipe["pair"]["kinds"].items() if share > 0}
names = (recipe["instructions"]["files"] if shares != {"labelled"} else []) + \
    (recipe["pair"]["labelled"] if "labelled" in shares else [])
if "builtin" not in names:
    check("instructions against the lines of the files", sum(states.values()),
          sum(1 for f in names for line in open(f) if line.strip()))
check("no instruction is undecided", states["read"], 0)
check("kept instructions have a split", one("select count(*) from instruction where (state = 'kept') <> "
                                            "(split is not null and cluster is not null)"), 0)
check("no cluster is cut", one("select count(*) from (select cluster from instruction where state = 'kept' group by 1 "
                               "having count(distinct split) > 1)"), 0)
check("one pair a kept instruction", one("select count(*) from (select instruction from pair group by 1 having "
                                         "count(*) = 1)"), states["kept"])
check("pair states", sum(by("select state, count(*) from pair group by 1").values()), states["kept"])
check("a pair that was checked out has a check, and one that has evidence was checked",
      one("select count(*) from pair where state like 'check: %' and state <> 'check: cut to match length' and id not in "
          "(select pair from pair_check)") +
      checked * one("select count(*) from pair where state = 'kept' and kind in ('modify', 'other', 'weaker', 'worse', 'sampled') "
                    "and id not in (select pair from pair_check)"), 0)
kinds = {k["kind"]: (k["pairs"], k["kept"]) for k in report["kinds"]}
check("kinds in the report", kinds, {k: (n, m) for k, n, m in db.execute(
    "select kind, count(*), sum(state = 'kept') from pair group by 1")})
check("every kind's pairs are those of the funnel", sum(n for n, _ in kinds.values()), funnel["pairs"]["total"])
check("tries of a text have no gaps", one("select count(*) from (select 1 from generation group by instruction, kind "
                                          "having max(sample) + 1 <> count(*))"), 0)
check("pairs in the report", funnel["pairs"]["total"], states["kept"])
check("pairs keep their instruction's split",
      one("select count(*) from pair p join instruction i on i.id = p.instruction where p.split <> i.split"), 0)
check("generations have a pair", one("select count(*) from generation where finish <> 'given' and instruction not in "
                                     "(select instruction from pair)"), 0)
train = one("select count(*) from pair where state = 'kept' and split = 'train'")
test = one("select count(*) from pair where state = 'kept' and split = 'test'")
turns = one("select max(iteration) from iteration")
for i in range(1, turns + 1):
    outcomes = by("select state, count(*) from outcome where iteration = ? group by 1", i)
    check(f"iteration {i}: outcomes", sum(outcomes.values()), train)
    check(f"iteration {i}: outcomes are of different pairs",
          one("select count(distinct pair) from outcome where iteration = ?", i), train)
    got = funnel["iterations"][i - 1]
    check(f"iteration {i}: outcomes in the report", got["outcomes"]["states"], dict(outcomes))
    n = one("select count(*) from judgment where iteration = ?", i)
    check(f"iteration {i}: judgments", got["judgments"]["total"], n)
    right, wrong, invalid = (one(f"select count(*) from judgment where iteration = ? and {w}", i) for w in
                             ("correct", "verdict <> 'invalid' and not correct", "verdict = 'invalid'"))
    check(f"iteration {i}: right + wrong + invalid", right + wrong + invalid, n)
    check(f"iteration {i}: invalid ones have a reason", one("select count(*) from judgment where iteration = ? and "
                                                            "(verdict = 'invalid') <> (reason <> '')", i), 0)
    check(f"iteration {i}: samples have no gaps", one("select count(*) from (select 1 from judgment where iteration = ? "
                                                      "group by pair, winner having max(sample) + 1 <> count(*))", i), 0)
    check(f"iteration {i}: judgments are of training pairs only",
          one("select count(*) from judgment j join pair p on p.id = j.pair where j.iteration = ? and p.split <> "
              "'train'", i), 0)
    check(f"iteration {i}: kept pairs have examples",
          one("select count(distinct pair) from example where iteration = ?", i), outcomes["kept"])
    # By the rule margin the right label is trained, whichever was drawn.
    if recipe["filter"]["rule"] != "margin":
        check(f"iteration {i}: examples are right judgments",
              one("select count(*) from example e join judgment j on j.id = e.judgment where e.iteration = ? and not "
                  "j.correct", i), 0)
    check(f"iteration {i}: an example's label is the winner's place",
          one("select count(*) from example e join judgment j on j.id = e.judgment where e.iteration = ? and e.label <> "
              "j.winner", i), 0)
    labels = by("select label, count(*) from example where iteration = ? group by 1", i)
    if recipe["filter"]["balance"]:
        check(f"iteration {i}: labels are balanced", labels["A"], labels["B"])
    first = one("select count(*) from judgment where iteration = ? and sample = 0", i)
    agreed = one("select count(*) from judgment where iteration = ? and sample = 0 and correct", i)
    check(f"iteration {i}: agreement is sample 0's",
          abs(one("select agreement from iteration where iteration = ?", i) - agreed / first) < 1e-12, True)
    steps = [r[0] for r in db.execute("select step from train_step where iteration = ? order by 1", (i,))]
    check(f"iteration {i}: training log", steps, list(range(1, len(steps) + 1)))
for i in range(turns + 1):
    check(f"evaluation {i}: two orders a test pair",
          one("select count(*) from evaluation where suite = 'test' and iteration = ?", i), 2 * test)
check("test and dev pairs are not trained on",
      one("select count(*) from example e join pair p on p.id = e.pair where p.split <> 'train'"), 0)
for table in ("label", "generation", "judgment", "evaluation"):
    check(f"{table}: every row has its provenance",
          one(f"select count(*) from {table} where provenance not in (select id from provenance)"), 0)
check("every provenance names a model and a pack",
      one("select count(*) from provenance where role not in ('given', 'rule', 'sandbox') and (model is null or model_hash = '' "
          "or pack_hash = '' or seed is null)"), 0)
print(f"sums: {sum(states.values())} instructions, {states['kept']} pairs, {turns} iterations: "
      f"{'all add up' if not bad else f'{bad} wrong'}")
sys.exit(bad != 0)
