"""The workloads of a run with their data sets; a resumed run keeps its data sets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from bench.command import say
from bench.data import cache, dataset
from bench.data.dataset import DataError, DataSet, Places
from bench.records.job import DataUsed, Record
from bench.runner import plan
from specs.loading import find_workload
from specs.model import Input, Suite, Workload
from specs.width import narrowed, widened

# A new run may use `dataset.FALLBACK` instead of these data sets.
_REPLACEABLE = ("mnist", "mnist-12k", "mnist-expanded")


def trainings(
    options: argparse.Namespace,
    suite: Suite,
    places: Places,
    folder: Path,
    earlier: Sequence[Record],
) -> list[plan.Training]:
    """The suite's workloads with their data sets, see `_data_of`.

    A sweep has each workload in every width and at every batch size.

    Args:
        options: the options of the command.
        suite: the suite to run.
        places: the folders that may contain data sets.
        folder: the run's folder.
        earlier: the run's records; a run keeps the data sets that it began with.

    Raises:
        DataError: a data set is not available, or is not the one that the run began with.
    """
    used_data, asked_for = _UsedData(earlier), options.dataset is not None
    data_sets = dict[tuple[str, Input], DataSet]()  # each is read once
    planned = []
    for part in suite.workloads:
        workload = find_workload(part.workload)
        recommended = part.dataset or suite.dataset or workload.recipe.dataset
        wanted = options.dataset or recommended, workload.input
        try:
            data_set = data_sets.get(wanted)
            if data_set is None or used_data.differs(workload, data_set):
                data_set = _data_of(wanted[0], workload, places, used_data, asked_for=asked_for)
        except DataError as error:
            began_with = used_data.first_of(workload) or used_data.original(workload)
            raise _explained(error, folder, began_with) from error
        used_data.add(workload, data_set)
        data_sets[wanted] = data_set
        size = part.batch_size and min(part.batch_size, data_set.train_examples)
        planned += [
            plan.Training(
                workload=widened(workload, width),
                data=data_set,
                epochs=options.epochs or part.epochs or workload.recipe.epochs,
                batch_size=batch_size,
                native_epochs=options.epochs or part.native_epochs,
            )
            for width, batch_size in product(options.width, options.batch_size or (size,))
        ]
    # `--batch-size` may make two entries of a suite equal.
    return [*{_training_key(training): training for training in planned}.values()]


def _training_key(training: plan.Training) -> tuple[Workload, str, int, int]:
    size = training.batch_size or training.workload.recipe.batch_size
    return training.workload, training.data.checksum, training.epochs, size


class _UsedData:
    """The data sets that a run began with, by workload.

    A run uses the fallback for all replaceable data sets, or for none of them.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._used: dict[tuple[str, str, Input], DataUsed | DataSet] = {}
        for record in sorted(records, key=lambda record: record.started):
            self.add(record.job.workload, record.data)

    def add(self, workload: Workload, used: DataUsed | DataSet) -> None:
        """Add the data set of a workload, unless the workload already has one."""
        self._used.setdefault(_identity(workload), used)

    def differs(self, workload: Workload, data_set: DataSet) -> bool:
        """Whether the workload began with another data set."""
        used = self._used.get(_identity(workload))
        return used is not None and used.checksum != data_set.checksum

    def original(self, workload: Workload) -> DataUsed | DataSet | None:
        """A replaceable data set that the run did not replace; None without one.

        With one, the run must not use the fallback.
        """
        return self._first_for(workload, _REPLACEABLE)

    def first_of(self, workload: Workload) -> DataUsed | DataSet | None:
        """The workload's first data set, else the fallback if the run uses it, else None."""
        used = self._used.get(_identity(workload))
        return used or self._first_for(workload, (dataset.FALLBACK,))

    def _first_for(self, workload: Workload, names: Sequence[str]) -> DataUsed | DataSet | None:
        if workload.recipe.dataset not in _REPLACEABLE:
            return None
        used = (used for (_, recipe, _), used in self._used.items() if recipe in _REPLACEABLE)
        return next((data for data in used if data.name in names), None)


def _identity(workload: Workload) -> tuple[str, str, Input]:
    """The properties that all widths of a workload share: name, recipe's data set, and input."""
    return narrowed(workload)[0].name, workload.recipe.dataset, workload.input


def _data_of(
    name: str, workload: Workload, places: Places, used_data: _UsedData, *, asked_for: bool
) -> DataSet:
    """The data set of that name, or the fallback.

    If MNIST is not available, a new run uses the fallback, and keeps it when it is resumed.

    Args:
        name: the name of the data set.
        workload: the workload that is trained on it.
        places: see `Places`.
        used_data: the data sets that the run began with.
        asked_for: whether the user named the data set; if so, the fallback is not used.

    Raises:
        DataError: the data set is not available, or the run began with another one.
    """
    began_with, original = used_data.first_of(workload), used_data.original(workload)
    replaceable = name in _REPLACEABLE and not asked_for and original is None
    if replaceable and began_with is not None and began_with.name == dataset.FALLBACK:
        ignored = f" ({places.directory} is not used)" if places.directory else ""
        say(
            f"bench: this run began with {began_with.name} and continues with it{ignored}; to use"
            f" {name}: --run NAME",
            error=True,
        )
        name = began_with.name
    if name == dataset.FALLBACK and original is not None:
        raise DataError(f"{name} is another data set")
    try:
        data_set = cache.materialise(name, workload.input, places)
    except DataError as error:
        if began_with is not None or not replaceable or places.directory is not None:
            raise
        say(
            f"bench: {error.problem}\n"
            f"bench: MNIST is not available, so this run uses {dataset.FALLBACK}: 4,000 training"
            " and 1,000 test images.\n"
            "       Its accuracies are lower, and are never compared with full MNIST's.\n"
            f"       hint: {error.hint}",
            error=True,
        )
        data_set = cache.materialise(dataset.FALLBACK, workload.input, places)
    if began_with is not None and began_with.checksum != data_set.checksum:
        raise DataError(f"{data_set.name} ({data_set.checksum[:8]}) is another data set")
    return data_set


def _explained(error: DataError, folder: Path, used: DataUsed | DataSet | None) -> DataError:
    """The error. If the run began with a data set, it says that no other one can be used."""
    if used is None:
        return error
    return DataError(
        f"{folder} began with {used.name} ({used.checksum[:8]}), and {error.problem}",
        expected="the same data set for the whole run",
        hint=f"for a new run: --run NAME. {error.hint}".strip(),
    )
