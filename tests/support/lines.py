"""The lines that a worker has written."""

from __future__ import annotations

from contextlib import closing

from bench.runner.output import LineReader


def read_lines(path, mark):
    with closing(LineReader(path, mark)) as reader:
        reader.read()
    return reader.lines
