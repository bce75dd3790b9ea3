"""Prints the alarm: results that are wrong, disagree or are suspect."""

from __future__ import annotations

import pandas as pd
from rich.console import Console

from bench.report.frame.doubts import headline, lines_of


def print_alarm(jobs: pd.DataFrame, console: Console) -> bool:
    """Print a red line per result that is not ranked, and last a summary.

    Returns True, and prints nothing, if there is no such result. `jobs`: see `jobs.jobs_frame`.
    """
    text = headline(jobs)
    for line in (*lines_of(jobs), text) if text else ():
        console.print(line, style="bold red", soft_wrap=True)
    return not text
