"""For python_*.py: the package of the source tree over the libste.so beside the program, which is argv[1]. Nothing of
this folder is imported by the packages under test."""
import os, sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.remove(str(here))
sys.path.insert(0, str(here.parents[1] / "python"))
STE = sys.argv.pop(1)
os.environ.setdefault("STE_LIBRARY", str(Path(STE).resolve().parent / "libste.so"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(here.parents[1] / "python"), os.environ.get("PYTHONPATH")]))
JUDGE = os.environ.get("JUDGE", "smollm2-135m-instruct")
QUESTIONS = [("What is 2 + 2?", "4", "Bananas are yellow."), ("Name a colour.", "Blue.", "asdf"), ("Say hello.", "Hello!", "7"),
             ("What is the capital of France?", "Paris.", "I do not know.")]  # fmt: skip


def ok(name, holds, said=""):
    print("ok  " if holds else "FAIL", name, said)
    if not holds:
        sys.exit(1)
