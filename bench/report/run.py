"""The data of a run for all sections of its report, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.records import noise, verification
from bench.records.command import read_command
from bench.records.job import Record
from bench.records.limits import EngineLimits, read_limits
from bench.records.noise import Calibration, read_calibrations
from bench.records.stored import Kind, LeftOut
from bench.records.turns import Turns, read_turns
from bench.records.verification import Verification, one_per_verification, read_verifications
from bench.report.frame.columns import GROUP
from bench.report.frame.epochs import epochs_frame, records_of
from bench.report.frame.jobs import jobs_frame
from bench.report.frame.pairs import Pair, pairs_of
from bench.report.frame.places import PLACE_COLUMNS, heading
from bench.report.frame.summary import summarise
from bench.report.frame.turns import with_turns
from bench.statistics.noise import noise_of, process_spread
from bench.statistics.turns import ProcessSpread

MOST_MACHINES = 4  # on a page; for more: `bench nodes` and `bench compare --by`


class Run:
    """A run, or its part from one place (see `places`).

    It writes no files. Verifications, limits and calibrations are read at first use.

    Attributes:
        records: the newest record of every job.
        folder: the run's folder; plots are in its subfolder `plots`.
        left_out: the files (records, verifications and others) that could not be read so far.
        heading: the title of a place; "" for a whole run.
    """

    def __init__(
        self,
        records: Sequence[Record],
        folder: Path,
        left_out: Sequence[LeftOut] = (),
        heading: str = "",
    ) -> None:
        self.records = records
        self.folder = folder
        self.left_out = [*left_out]
        self.heading = heading

    @classmethod
    def read(cls, folder: Path, known: Iterable[Record] = ()) -> Run:
        """The run in a folder.

        Args:
            folder: the run's folder.
            known: records that need not be read again.

        Raises:
            RunError: the folder has no run or no record.
        """
        records, left_out = records_of(folder, known)
        return cls(records, folder, left_out)

    @cached_property
    def command(self) -> str:
        """The command that made the run; "" if it is not known."""
        return read_command(self.folder)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row per epoch, see `frame.columns.EPOCHS`."""
        return epochs_frame(self.records)

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """A row per job, see `frame.jobs.jobs_frame`."""
        return with_turns(jobs_frame(self.epochs), self.turns)

    @cached_property
    def turns(self) -> list[Turns]:
        """The turns of the backends, see `bench.runner.turns`."""
        return self._noting(read_turns(self.folder))

    @cached_property
    def pairs(self) -> list[Pair]:
        """The comparison of every two matched backends of every group."""
        return pairs_of(self.jobs, self.spread_of)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per backend of a group, see `frame.columns.SUMMARY`."""
        return summarise(self.jobs, self.pairs)

    @property
    def ok(self) -> pd.DataFrame:
        """The rows of the summary with at least one job that ended ok and agrees."""
        return self.summary[self.summary["status"] == "ok"]

    @cached_property
    def made_with(self) -> list[Record]:
        """One record per verification that applies to the records."""
        return one_per_verification(self.records)

    @cached_property
    def verifications(self) -> list[Verification]:
        """All verifications in the run's folder and beside it, oldest first."""
        return self._noting(read_verifications(self._here_and_beside(verification.FOLDER)))

    @cached_property
    def limits(self) -> list[EngineLimits]:
        """The limits of engines that were measured in the run."""
        return self._noting(read_limits(self.folder))

    @cached_property
    def calibration(self) -> Calibration | None:
        """The measured timing noise at the first record's place; None if it was not measured."""
        return noise_of(self.records[0], self._calibrations)

    @property
    def calibrations(self) -> list[Calibration]:
        """The measured timing noise of all places, each once."""
        keys = self.jobs.drop_duplicates(PLACE_COLUMNS)["key"]
        of_places = (noise_of(self._by_key[str(key)], self._calibrations) for key in keys)
        return [
            *{calibration.key: calibration for calibration in of_places if calibration}.values()
        ]

    def spread_of(self, key: str) -> ProcessSpread:
        """How much two processes of one backend differ at the place of the job with this key."""
        return process_spread(self._by_key[key], self._calibrations)

    @cached_property
    def _by_key(self) -> dict[str, Record]:
        return {record.key: record for record in self.records}

    @cached_property
    def _calibrations(self) -> list[Calibration]:
        return self._noting(read_calibrations(self._here_and_beside(noise.FOLDER)))

    @cached_property
    def places(self) -> list[Run]:
        """The run's parts, one per data set, machine, device and number of threads."""
        groups = self.summary.groupby(PLACE_COLUMNS, sort=False, dropna=False)
        return [self._part(rows, heading(rows)) for _, rows in groups]

    @cached_property
    def shown(self) -> Run:
        """The part of the run with its first `MOST_MACHINES` machines."""
        first = self.summary["machine"].unique()[:MOST_MACHINES]
        is_first = self.summary["machine"].isin(first)
        return self if is_first.all() else self._part(self.summary[is_first])

    def _part(self, rows: pd.DataFrame, title: str = "") -> Run:
        """The part of the run from the places of these rows of the summary."""
        where = rows[PLACE_COLUMNS].drop_duplicates()
        epochs, jobs, summary = (
            frame.merge(where) for frame in (self.epochs, self.jobs, self.summary)
        )
        keys = set(jobs["key"])
        records = [record for record in self.records if record.key in keys]
        part = Run(records, self.folder, heading=title)
        part.left_out = self.left_out  # shared, so that the run has all of them
        # The labels are the same as in the whole run.
        part.epochs, part.jobs, part.summary = epochs, jobs, summary
        groups = set(jobs[GROUP].itertuples(index=False, name=None))
        part.pairs = [pair for pair in self.pairs if pair.group in groups]
        return part

    def _noting(self, read: tuple[list[Kind], list[LeftOut]]) -> list[Kind]:
        """The records that were read; adds unreadable files to `left_out`."""
        records, left_out = read
        self.left_out += [file for file in left_out if file not in self.left_out]
        return records

    def _here_and_beside(self, name: str) -> list[Path]:
        above = self.folder.resolve().parent
        if (above / "jobs").is_dir():  # the folder is an anonymous copy inside its run
            return [self.folder / name]
        return [self.folder / name, above / name]
