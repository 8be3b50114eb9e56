"""python_pytest.py STE: the plugin of pytest in a run of its own: a test that holds, one that does not, what it says."""
import os, subprocess, sys, tempfile
from lib_ste import ok

TEST = """
import pytest
from ste.integrations.pytest import assert_better

def test_holds(ste_judge):
    v = assert_better(ste_judge, "hell", "hello hello hello hello", "h") if ste_judge.compare(
        "hell", "hello hello hello hello", "h")["verdict"] == "A" else assert_better(ste_judge, "hell", "h", "hello hello hello hello")
    assert v["verdict"] == "A"

def test_does_not(ste_judge):
    assert_better(ste_judge, "hell", "same", "same")
"""
with tempfile.TemporaryDirectory() as folder:
    with open(f"{folder}/test_answers.py", "w") as f:
        f.write(TEST)
    run = lambda *more: subprocess.run([sys.executable, "-m", "pytest", "-p", "ste.integrations.pytest", "-q", *more],
                                       cwd=folder, capture_output=True, text=True)  # fmt: skip
    done = run("--ste-judge", "likelihood:smollm2-135m-instruct")
    ok("one holds, one does not", done.returncode == 1 and "1 failed, 1 passed" in done.stdout, done.stdout[-300:])
    ok("it says why", "does not prefer the answer that should be better: neither" in done.stdout)
    with open(f"{folder}/pytest.ini", "w") as f:
        f.write("[pytest]\nste_judge = likelihood:smollm2-135m-instruct\n")
    ok("the judge by the ini file", "1 failed, 1 passed" in run().stdout)
    os.remove(f"{folder}/pytest.ini")
    ok("without a judge it says what is missing", "--ste-judge JUDGE" in run().stdout)
