"""A benchmark that trains the same model in every deep-learning framework.

In a notebook: `run = bench.load("results/quick")`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["load"]


def load(folder: str | Path) -> Any:
    """The results of a run, with its data frames and charts: a `bench.report.notebook.Results`.

    Args:
        folder: the run's, such as "results/quick".

    Raises:
        RunError: there is no run or no record in the folder.
    """
    # By name: a worker imports this package, and its checksum has all that an import names. pandas
    # and Altair take 2 s.
    from importlib import import_module

    return import_module("bench.report.notebook").Results(Path(folder))
