"""Tests of python/ste in the folder that python.sh made: judge.gguf, files of rows, a recipe. The program is argv[1]."""
import asyncio, json, logging, os, signal, subprocess, sys, threading, time, unittest

import ste
from ste._library import lib

STE = sys.argv.pop(1)
MODEL = "judge.gguf"


def program(*arguments):
    done = subprocess.run([STE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class AsTheProgram(unittest.TestCase):
    def test_verdicts(self):
        program("judge", "--judge", MODEL, "--in", "many.jsonl", "--out", "v.jsonl", "--no-cache", "--votes", "4", "--seed", "3")
        with ste.Judge(MODEL, cache=False, votes=4, seed=3) as j:
            self.assertEqual(j._text(lib.ste_judge_compare_rows, text("many.jsonl").encode()), text("v.jsonl"))
            self.assertEqual(j.compare_many(rows("many.jsonl")), rows("v.jsonl"))
            some = rows("many.jsonl")[7]
            self.assertEqual(j.compare(some["prompt"], some["response_a"], some["response_b"], id="p8"), rows("v.jsonl")[7])
            messages = [{"role": "user", "content": some["prompt"]}]
            by_text = j.compare(some["prompt"], some["response_a"], some["response_b"])
            by_messages = j.compare(messages, some["response_a"], some["response_b"], note="mine")
            self.assertEqual(by_messages.pop("note"), "mine")
            self.assertEqual(by_messages.pop("messages"), messages)
            self.assertEqual(by_messages, {k: v for k, v in by_text.items() if k != "prompt"})
        self.assertGreater(len({r["margin"] for r in rows("v.jsonl")}), 3)

    def test_scores(self):
        program("score", "--judge", MODEL, "--in", "answers.jsonl", "--out", "s.jsonl", "--no-cache")
        with ste.Judge(MODEL, cache=False) as j:
            self.assertEqual(j.score_many(rows("answers.jsonl")), rows("s.jsonl"))

    def test_figures(self):
        program("eval", "--judge", MODEL, "--data", "labelled.jsonl", "--json", "e.json", "--no-cache", "--min-margin", "0.1",
                "--score", "logits")  # fmt: skip
        program("rank", "--judge", MODEL, "--answers", "rank.jsonl", "--json", "r.json", "--no-cache", "--verdict", "two-order")
        with ste.Judge(MODEL, cache=False) as j:
            self.assertEqual(j.evaluate("labelled.jsonl", min_margin=0.1, logits=True), json.loads(text("e.json")))
            self.assertEqual(ste.evaluate(j, ["labelled.jsonl"], limit=5)["overall"]["pairs"], 5)
            self.assertEqual(j.evaluate(rows("labelled.jsonl"))["overall"], j.evaluate("labelled.jsonl")["overall"])
            self.assertEqual(j.rank("rank.jsonl", verdict="two-order"), json.loads(text("r.json")))

    def test_runs(self):
        program("run", "small.yaml", "--run", "by-program", "--set", "judge.samples=3")
        report = ste.train("small.yaml", "by-python", {"judge.samples": 3})
        self.assertEqual(report, json.loads(program("report", "by-python", "--json")))
        self.assertEqual(report, ste.train("small.yaml", "by-python", judge__samples=3))
        self.assertEqual(program("dump", "by-program"), program("dump", "by-python"))
        with ste.Judge("by-python", pack="direct") as j:
            self.assertIn(j.compare("Say?", "Yes", "No")["verdict"], ("A", "B", "tie", "invalid"))
        with self.assertRaisesRegex(ste.UsageError, "judge.samples"):
            ste.train("small.yaml", "by-python", judge__samples=4)


class Errors(unittest.TestCase):
    def test_each_is_an_exception(self):
        with self.assertRaisesRegex(ste.NotFound, "/no/such.gguf"):
            ste.Judge("/no/such.gguf")
        with self.assertRaisesRegex(ste.UsageError, "votes"):
            ste.Judge(MODEL, votes=3)
        with self.assertRaisesRegex(ste.UsageError, "treads"):
            ste.Judge(MODEL, treads=3)
        with self.assertRaises(ste.NotFound):
            ste.report("/no/such/run")
        with ste.Judge(MODEL) as j:
            with self.assertRaisesRegex(ste.InputError, "row 2: .*response_b"):
                j.compare_many([("p", "a", "b"), {"prompt": "p", "response_a": "a"}])
            with self.assertRaisesRegex(ste.InputError, "row 1 cannot be written"):
                j.compare("\ud800", "a", "b")
            with self.assertRaises(ste.InputError):
                j.compare("a\0b", "a", "b")
            with self.assertRaises(ste.SystemRefused):
                j.evaluate("/no/such.jsonl")
            self.assertEqual(j.compare_many([]), [])
        with self.assertRaisesRegex(ste.UsageError, "closed"):
            j.compare("p", "a", "b")
        j.close()
        self.assertTrue(issubclass(ste.UsageError, ValueError) and issubclass(ste.OutOfMemory, MemoryError))
        with ste.Judge("likelihood:" + MODEL) as j, self.assertRaises(ste.UsageError):
            j.score("p", "a")

    def test_what_is_said_is_logged(self):
        with ste.Judge(MODEL) as j, self.assertLogs("ste", logging.WARNING) as said:
            self.assertEqual(j.compare("x" * 9000, "a", "b")["reason"], "prompt too long")
        self.assertIn("counts as invalid", said.output[0])

    def test_settings(self):
        with self.assertRaises(ste.NotFound):  # no home, so no catalogue's model
            ste.Judge("smollm2-135m-instruct", settings={})
        with ste.Judge(MODEL, cache=False, settings={}) as j:
            j.compare("p", "a", "b")


class Together(unittest.TestCase):
    many = [(f"Question {i}?", f"Yes, {i}.", "No.") for i in range(400)]

    def test_ctrl_c(self):
        for call in (lambda j: j.compare_many(self.many * 20), lambda j: asyncio.run(self.gathered(j, self.many * 20))):
            with ste.Judge("likelihood:" + MODEL, cache=False, threads=1) as j:
                want = j.compare(*self.many[3])
                timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
                timer.start()
                with self.assertRaises(KeyboardInterrupt):
                    call(j)
                    time.sleep(60)  # had it been faster
                self.assertEqual(j.compare(*self.many[3]), want)

    def test_ctrl_c_of_a_run_goes_on(self):
        timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            ste.train("small.yaml", "stopped", judge__samples=3)
            timer.join()  # had it been faster
        except KeyboardInterrupt:
            pass
        timer.join()
        self.assertEqual(ste.train("small.yaml", "stopped", judge__samples=3), ste.report("stopped"))

    def test_threads(self):
        with ste.Judge(MODEL, cache=False) as j:
            want, got = j.compare_many(self.many[:8]), {}

            def work(i):
                got[i] = j.compare_many(self.many[i : i + 2])

            threads = [threading.Thread(target=work, args=(i,)) for i in range(0, 8, 2)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual([v for i in range(0, 8, 2) for v in got[i]], want)

    @staticmethod
    async def gathered(j, pairs):
        return await asyncio.gather(*(j.acompare(*p) for p in pairs))

    def test_coroutines(self):
        with ste.Judge(MODEL, cache=False) as j:
            calls, of = [], j._gatherer._kinds["compare"]
            j._gatherer._kinds["compare"] = lambda rows: calls.append(len(rows)) or of(rows)
            self.assertEqual(asyncio.run(self.gathered(j, self.many[:30])), j.compare_many(self.many[:30]))
            self.assertEqual(calls, [30])

            async def with_a_bad_one():
                return await asyncio.gather(j.acompare(*self.many[0]), j.acompare(7, "a", "b"), j.ascore("p", "a"),
                                            return_exceptions=True)  # fmt: skip

            good, bad, score = asyncio.run(with_a_bad_one())
            self.assertEqual(good, j.compare(*self.many[0]))
            self.assertIsInstance(bad, (ste.InputError, TypeError))
            self.assertEqual(score, j.score("p", "a"))

    def test_what_nobody_awaits_ends(self):
        async def given_up(j):
            began = time.monotonic()
            await self.gathered(j, self.many * 20)
            whole = time.monotonic() - began
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(self.gathered(j, self.many * 20), whole / 20)
            began = time.monotonic()
            verdict = await j.acompare(*self.many[0])
            self.assertLess(time.monotonic() - began, whole / 2)
            return verdict

        async def closed_under(j):
            waiting = asyncio.ensure_future(self.gathered(j, self.many * 20))
            await asyncio.sleep(0.2)
            await asyncio.get_running_loop().run_in_executor(None, j.close)
            with self.assertRaises(ste.Interrupted):
                await waiting

        j = ste.Judge("likelihood:" + MODEL, cache=False, threads=1)
        self.assertEqual(asyncio.run(given_up(j)), j.compare(*self.many[0]))
        asyncio.run(closed_under(j))
        with self.assertRaises(ste.Interrupted):
            asyncio.run(self.gathered(j, self.many[:2]))

    def test_what_another_thread_asked_goes_on(self):
        async def gives_up(j):  # unless its answer comes before the other thread's work begins
            try:
                await asyncio.wait_for(j.acompare(*self.many[0]), 0.05)
            except asyncio.TimeoutError:
                return True
            return False

        with ste.Judge("likelihood:" + MODEL, cache=False, threads=1) as j:
            given_up = 0
            for _ in range(20):
                got = []
                thread = threading.Thread(target=lambda: got.extend(j.compare_many(self.many * 4)))
                thread.start()
                time.sleep(0.02)
                given_up += asyncio.run(gives_up(j))
                thread.join()
                self.assertEqual(len(got), 1600)
                if given_up:
                    break
            self.assertTrue(given_up)

    def test_the_interpreter_ends(self):
        code = f"import ste, threading, time; j = ste.Judge('likelihood:{MODEL}', cache=False)\n" \
               f"threading.Thread(target=j.compare_many, args=([('p', 'a' * 50, 'b')] * 20000,), daemon=True).start()\n" \
               f"time.sleep(0.2)"  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0, done.stderr)


unittest.main(verbosity=2)
