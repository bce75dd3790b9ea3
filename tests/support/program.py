"""Runs a script that uses Keras's data sets as a program, with the data of the current folder."""

from __future__ import annotations

import runpy
import sys

from tests.support.scripts import use_local_keras_data

if __name__ == "__main__":
    use_local_keras_data()
    runpy.run_path(sys.argv[1], run_name="__main__")
