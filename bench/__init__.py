"""A benchmark that trains the same model in every deep-learning framework.

In a notebook: `run = bench.load("results/quick")`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.notebook import Results

__all__ = ["load"]


def load(folder: str | Path) -> Results:
    """The results of a run, with its data frames and charts.

    Args:
        folder: the run's, such as "results/quick".

    Raises:
        RunError: there is no run or no record in the folder.
    """
    from bench.report.notebook import Results  # with it come pandas and Altair, 2 s

    return Results(Path(folder))
