"""The results of a run for notebooks and scripts: data frames, ratios and charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import altair as alt
import pandas as pd

from bench.report.chart import results, training
from bench.report.chart.files import together
from bench.report.document.html import fragment
from bench.report.form.blocks import Chart
from bench.report.frame.columns import EPOCHS, SUMMARY, Column
from bench.report.frame.doubts import EXCLUDED
from bench.report.run import Run
from bench.report.section import figures, opening
from specs.errors import UserError, closest


class Ratio(NamedTuple):
    """The epoch time of a backend divided by another backend's.

    Attributes:
        value: the ratio; below 1 the first backend is faster.
        low, high: its interval of 99 %; None with too few turns or rounds.
        rounds: the number of rounds.
        verdict: "faster", "slower", "same" or "undecided", corrected for the number of pairs.
    """

    value: float
    low: float | None
    high: float | None
    rounds: int
    verdict: str


class Results:
    """The results of a run.

    Attributes:
        charts: the charts of the run.

    Args:
        folder: the run's folder.

    Raises:
        RunError: the folder has no run or no record.
    """

    def __init__(self, folder: Path) -> None:
        self._run = Run.read(folder)
        self.charts = Charts(self._run)

    @property
    def epochs(self) -> pd.DataFrame:
        """A row per epoch. For units and meanings see `docs/columns.md` and `attrs`."""
        return _described(self._run.epochs, EPOCHS)

    @property
    def jobs(self) -> pd.DataFrame:
        """A row per job: its columns of `epochs`, and the figures that follow from its epochs."""
        return _described(self._run.jobs.reset_index(drop=True), (*EPOCHS, *SUMMARY))

    @property
    def summary(self) -> pd.DataFrame:
        """A row per backend in a group; see `docs/columns.md`, and `attrs`."""
        return _described(self._run.summary, SUMMARY)

    @property
    def disagreements(self) -> pd.DataFrame:
        """The jobs whose results are wrong, disagree with the others, or are suspect."""
        jobs = self.jobs
        return jobs[jobs["status"].isin(EXCLUDED)]

    def ratio(self, first: str, second: str, *, workload: str) -> Ratio:
        """The epoch time of a backend divided by another backend's.

        Args:
            first: the backend of the numerator.
            second: the backend of the denominator.
            workload: the workload, by its label in the tables.

        Raises:
            UserError: these backends were not compared on this workload, or in several places.
        """
        matching = [
            pair
            for pair in self._run.pairs
            if pair.workload == workload and {pair.backend, pair.other} == {first, second}
        ]
        if len(matching) != 1:
            compared = [
                f"{pair.backend}, {pair.other}, {pair.workload}" for pair in self._run.pairs
            ]
            raise UserError(
                f"{first} and {second} were compared {len(matching)} times on {workload}",
                expected="backends and a workload that were compared once",
                hint=closest(f"{first}, {second}, {workload}", compared),
            )
        [pair] = matching
        result = pair.comparison
        if pair.backend == first:
            ends = result.sure_low, result.sure_high
            return Ratio(result.ratio, *ends, result.rounds, result.outcome)
        opposite = {"faster": "slower", "slower": "faster"}.get(result.outcome, result.outcome)
        low, high = (end and 1 / end for end in (result.sure_high, result.sure_low))
        return Ratio(1 / result.ratio, low, high, result.rounds, opposite)

    def _repr_html_(self) -> str:
        """The alarm, the four answers, and all figures, as HTML."""
        return fragment([*opening.section(self._run), *figures.section(self._run)[:1]])

    def __repr__(self) -> str:
        return f"<run {self._run.folder}: {opening.believed(self._run)}>"


class Charts:
    """The charts of a run, as Altair charts; see `bench.report.chart`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def speed(self) -> alt.ConcatChart:
        """Epoch times relative to the fastest backend."""
        return self._altair(results.speed)

    def accuracy(self) -> alt.ConcatChart:
        """Test accuracies with their intervals."""
        return self._altair(results.accuracy)

    def memory(self) -> alt.ConcatChart:
        """Peak memory while training."""
        return self._altair(results.memory)

    def start_up(self) -> alt.ConcatChart:
        """Seconds before the first epoch."""
        return self._altair(results.start_up)

    def time_to_accuracy(self) -> alt.ConcatChart:
        """Test accuracy against seconds."""
        return self._altair(training.time_to_accuracy)

    def curves(self) -> alt.ConcatChart:
        """Accuracy and loss over epochs."""
        return self._altair(training.curves)

    def break_even(self) -> alt.ConcatChart:
        """Seconds until the end of an epoch."""
        return self._altair(training.break_even)

    def _altair(self, make: Callable[[Run], Chart | None]) -> alt.ConcatChart:
        chart = make(self._run)
        if chart is None:
            raise UserError("there is nothing to draw", expected="a run with jobs that ended ok")
        return alt.ConcatChart.from_dict(together(chart))


def _described(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """A copy with each column's unit and meaning in `attrs`, and with dates as timestamps."""
    by_name = {column.name: column for column in columns}
    frame = frame.copy()
    if "started" in frame:
        frame["started"] = pd.to_datetime(frame["started"], errors="coerce", utc=True)
    present = [by_name[name] for name in frame if name in by_name]
    frame.attrs["units"] = {column.name: column.unit for column in present}
    frame.attrs["meanings"] = {column.name: column.meaning for column in present}
    return frame
