"""Plans a run: makes the jobs of a suite, in an order in which drift affects all backends alike.

Of every two repetitions the second has the contestants in the opposite order: what comes first in
one comes last in the other. From the third repetition on the orders are random, so that no rhythm
of the machine can favour a contestant.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product

import numpy as np
from msgspec import Struct

from backends.contract import Job, Mode
from backends.registry import entry
from bench.data.dataset import DataSet
from specs.errors import UserError
from specs.loading import SUITES, WORKLOADS, find_suite, find_workload, names
from specs.model import BatchNorm, Suite, SuiteEntry, Workload
from specs.shapes import infer_shapes


class PlanError(UserError):
    """A combination that cannot be run; found before any job is run."""


class Options(Struct, frozen=True, kw_only=True):
    """What the user chose; None leaves the choice to the suite or the recipe."""

    backends: tuple[str, ...]
    devices: tuple[str, ...]
    threads: int
    seeds: tuple[int, ...] | None = None
    rounds: int | None = None
    modes: tuple[Mode, ...] = ("matched",)


class Training(Struct, frozen=True, kw_only=True):
    """One workload of a run with its data set.

    Attributes:
        epochs: how many a job trains.
        batch_size: None for the recipe's.
    """

    workload: Workload
    data: DataSet
    epochs: int
    batch_size: int | None = None


Group = tuple[Training, str]  # a training and the name of a device


def find_suite_or_workload(name: str) -> Suite:
    """The suite of that name; or the workload of that name or JSON file, as a suite of its own.

    Raises:
        PlanError: there is neither.
    """
    if name in names(SUITES):
        return find_suite(name)
    if name in names(WORKLOADS) or name.endswith(".json"):
        workload = find_workload(name)
        return Suite(
            name=workload.name,
            title=workload.title,
            workloads=(SuiteEntry(workload=workload.name),),
            seeds=(0,),
            rounds=1,
        )
    known = [*names(SUITES), *names(WORKLOADS)]
    raise PlanError(
        f"no suite or workload is named '{name}'",
        expected=f"one of {', '.join(known)}, or a path that ends in .json",
        hint="bench list",
    )


def make_groups(trainings: Sequence[Training], options: Options) -> list[Group]:
    """Every training on every device.

    Raises:
        PlanError: a workload does not fit its data, or there is no contestant.
    """
    for training in trainings:
        _check(training)
    if not _contestants(options):
        raise PlanError(
            f"none of {', '.join(options.backends)} has a native mode",
            expected="one that has",
            hint="--mode matched",
        )
    return list(product(trainings, options.devices))


def make_round(
    cells: Sequence[Group], options: Options, suite: Suite, turn: int
) -> list[tuple[Job, DataSet]]:
    """The jobs of one round of some cells, in order, each with its data set.

    Every seed is used once. The contestants of a cell come next to each other.
    """
    seeds, contestants = options.seeds or suite.seeds, _contestants(options)
    jobs = []
    for number, seed in enumerate(seeds, start=turn * len(seeds)):
        order = _order(contestants, number)
        for (training, device), (backend, mode) in product(cells, order):
            job = _job(
                training, options, backend=backend, mode=mode, device=device, seed=seed, turn=turn
            )
            jobs.append((job, training.data))
    return jobs


def make_jobs(
    trainings: Sequence[Training], options: Options, suite: Suite
) -> list[tuple[Job, DataSet]]:
    """Every job of a run with the chosen number of rounds, in order, each with its data set.

    Raises:
        PlanError: see `make_groups`.
    """
    cells, rounds = make_groups(trainings, options), range(options.rounds or suite.rounds)
    return list(chain.from_iterable(make_round(cells, options, suite, turn) for turn in rounds))


def _contestants(options: Options) -> list[tuple[str, Mode]]:
    pairs = product(options.backends, options.modes)
    return [
        (backend, mode) for backend, mode in pairs if mode == "matched" or entry(backend).native
    ]


def _order(contestants: Sequence[tuple[str, Mode]], number: int) -> list[tuple[str, Mode]]:
    """The order of the contestants in a repetition.

    The first two repetitions have it as given and reversed; later pairs have a random one and its
    reverse.
    """
    order = list(contestants)
    if number > 1:
        lot = np.random.default_rng(number // 2)  # so a resumed run has the same orders
        order = [contestants[place] for place in lot.permutation(len(contestants))]
    return order if number % 2 == 0 else order[::-1]


def _check(training: Training) -> None:
    workload, data = training.workload, training.data
    if data.shape != workload.input.shape:
        raise PlanError(
            f"{workload.name}: its input is {workload.input.shape}, but the images of {data.name}"
            f" are {data.shape}",
            expected="the same shape",
            hint="use --dataset synthetic, which takes any shape",
        )
    if data.classes > workload.input.classes:
        raise PlanError(
            f"{workload.name}: it tells {workload.input.classes} classes apart, but {data.name} has"
            f" {data.classes}",
            expected=f'"classes": {data.classes}',
        )
    batch_size = training.batch_size or workload.recipe.batch_size
    if batch_size > data.train_examples:
        raise PlanError(
            f"{workload.name}: batch size {batch_size:,} is larger than {data.name},"
            f" {data.train_examples:,} examples",
            expected=f"at most {data.train_examples:,}",
            hint="a smaller --batch-size",
        )
    _check_batch_norm(workload, batch_size, data)


def _check_batch_norm(workload: Workload, batch_size: int, data: DataSet) -> None:
    """Refuse batch norm on a vector for a batch of one example, which it cannot normalise.

    On an image it normalises over the pixels, too.
    """
    left = data.train_examples % batch_size if workload.recipe.last_partial_batch == "keep" else 0
    vectors = any(
        isinstance(s.layer, BatchNorm) and len(s.input) == 1 for s in infer_shapes(workload)
    )
    if vectors and 1 in (left, batch_size):
        raise PlanError(
            f"{workload.name}: with batch size {batch_size} a batch of {data.name} has one example,"
            " which batch norm on a vector cannot normalise",
            expected='another batch size, or "last_partial_batch": "drop"',
        )


def _job(
    training: Training,
    options: Options,
    *,
    backend: str,
    mode: Mode,
    device: str,
    seed: int,
    turn: int,
) -> Job:
    return Job(
        workload=training.workload,
        dataset=training.data.name,
        mode=mode,
        backend=backend,
        device=device,
        threads=options.threads,
        seed=seed,
        precision="float32",
        compiled=entry(backend).compiled and mode == "matched",
        deterministic=False,
        epochs=training.epochs,
        batch_size=training.batch_size or training.workload.recipe.batch_size,
        round=turn,
    )
