"""Runs a script as a program, with the data of the current folder: NAME, then the file."""

from __future__ import annotations

import runpy
import sys

from tests.support.scripts import prepare

if __name__ == "__main__":
    prepare(sys.argv[1])
    runpy.run_path(sys.argv[2], run_name="__main__")
