"""The program ``ste`` of the wheel."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    program = Path(__file__).resolve().parent / "bin" / "ste"
    os.execv(program, ["ste", *sys.argv[1:]])
