"""Plans a run: makes the jobs of a suite, in an order that treats all backends alike.

A repetition is a round of one seed. Two repetitions in a row are a pair: the second has the
backends in the opposite order, so that a slow drift of the machine affects all of them equally. The
order of each pair is random, except that of the first. So periodic load favours no backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product

import numpy as np
from msgspec import Struct

from backends.contract import Job, Mode, Precision, nodes_of, ranks_of
from backends.registry import BACKENDS, entry
from bench.data.dataset import DataSet
from specs.errors import UserError, closest
from specs.loading import SUITES, WORKLOADS, find_suite, find_workload, names
from specs.model import BatchNorm, Suite, SuiteEntry, Workload
from specs.shapes import infer_shapes


class PlanError(UserError):
    """The planned jobs cannot be run."""


class Options(Struct, frozen=True, kw_only=True):
    """The user's choices; None selects the value of the suite.

    Attributes:
        modes: the modes; each backend trains in those that it supports.
        native: the backends that also train in native mode, in float32.
        precisions: of the products, see `backends.contract.Job`.
    """

    backends: tuple[str, ...]
    devices: tuple[str, ...]
    threads: int
    seeds: tuple[int, ...] | None = None
    rounds: int | None = None
    modes: tuple[Mode, ...] = ("matched",)
    native: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ("float32",)


class Training(Struct, frozen=True, kw_only=True):
    """One workload of a run with its data set.

    Attributes:
        epochs: the number of epochs of a job.
        native_epochs: the number of epochs of a job in native mode; None for the same.
        batch_size: the examples per step; None for the recipe's.
    """

    workload: Workload
    data: DataSet
    epochs: int
    batch_size: int | None = None
    native_epochs: int | None = None


class Group(Struct, frozen=True, kw_only=True):
    """A training on one device, in one precision.

    Its jobs, of all backends, are compared with each other.
    """

    training: Training
    device: str
    precision: Precision


def find_suite_or_workload(name: str) -> Suite:
    """The suite of this name, or a suite of only the workload of this name or JSON file.

    Raises:
        PlanError: there is no such suite or workload.
    """
    if name in names(SUITES):
        return find_suite(name)
    if name in names(WORKLOADS) or name.endswith(".json"):
        workload = find_workload(name)
        return Suite(
            name=workload.name,
            title=workload.title,
            workloads=(SuiteEntry(workload=name),),
            seeds=(0,),
            rounds=1,
        )
    known = [*names(SUITES), *names(WORKLOADS)]
    raise PlanError(
        f"no suite or workload is named '{name}'",
        expected=f"one of {', '.join(known)}, or a path that ends in .json",
        hint=closest(name, known) or "bench list",
    )


def make_groups(trainings: Sequence[Training], options: Options) -> list[Group]:
    """Every training on every device, in every precision.

    Raises:
        PlanError: a workload does not fit its data, or no backend has one of the modes.
    """
    for training in trainings:
        _check(training)
    for device in options.devices:
        if not any(can_share(backend, "matched", device) for backend in options.backends):
            can = [name for name in BACKENDS if can_share(name, "matched", device)]
            what = "nodes" if nodes_of(device) > 1 else "ranks"
            raise PlanError(
                f"none of {', '.join(options.backends)} trains on several {what} ({device})",
                expected=f"one of {', '.join(can)}",
            )
    if not _backends_and_modes(options):
        raise PlanError(
            f"none of {', '.join(options.backends)} has a native mode",
            expected="a backend with a native mode",
            hint="--mode matched",
        )
    return [
        Group(training=training, device=device, precision=precision)
        for training, device, precision in product(trainings, options.devices, options.precisions)
    ]


def make_round(
    groups: Sequence[Group], options: Options, suite: Suite, number: int
) -> list[tuple[Job, DataSet]]:
    """The jobs of one round, in order, each with its data set.

    The jobs of one group and seed follow each other.

    Args:
        groups: see `make_groups`.
        options: the user's choices.
        suite: its seeds are used if the user chose none.
        number: the number of the round, from 0.
    """
    seeds, backends = options.seeds or suite.seeds, _backends_and_modes(options)
    jobs = []
    for repetition, seed in enumerate(seeds, start=number * len(seeds)):
        order = _order(backends, repetition)
        for group, (backend, mode) in product(groups, order):
            if mode == "native" and _is_left_out(group, options):
                continue
            if not can_share(backend, mode, group.device):
                continue
            job = _job(group, options, backend=backend, mode=mode, seed=seed, number=number)
            jobs.append((job, group.training.data))
    return jobs


def make_jobs(
    trainings: Sequence[Training], options: Options, suite: Suite
) -> list[tuple[Job, DataSet]]:
    """All jobs of a run with the chosen number of rounds, in order, each with its data set.

    Raises:
        PlanError: see `make_groups`.
    """
    groups, rounds = make_groups(trainings, options), range(options.rounds or suite.rounds)
    return list(
        chain.from_iterable(make_round(groups, options, suite, number) for number in rounds)
    )


def _backends_and_modes(options: Options) -> list[tuple[str, Mode]]:
    pairs: list[tuple[str, Mode]] = []
    for backend in options.backends:
        also: tuple[Mode, ...] = ("native",) if backend in options.native else ()
        modes = dict.fromkeys((*options.modes, *also))
        pairs += [(backend, m) for m in modes if m == "matched" or entry(backend).native]
    return pairs


def can_share(backend: str, mode: Mode, device: str) -> bool:
    """Whether a backend can train on all ranks and nodes of a device."""
    chosen = entry(backend)
    if nodes_of(device) > 1 and not chosen.on_nodes:
        return False
    return ranks_of(device) == 1 or (mode == "matched" and chosen.parallel is not None)


def _is_left_out(group: Group, options: Options) -> bool:
    """Whether a suite's native jobs are left out, as tutorials train only in float32."""
    return group.precision != "float32" and "native" not in options.modes


def _order(
    backends_and_modes: Sequence[tuple[str, Mode]], repetition: int
) -> list[tuple[str, Mode]]:
    """The order of the backends in a repetition, see the top of this file."""
    order = list(backends_and_modes)
    if repetition > 1:
        random = np.random.default_rng(repetition // 2)  # so a resumed run has the same orders
        order = [backends_and_modes[index] for index in random.permutation(len(order))]
    return order if repetition % 2 == 0 else order[::-1]


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
            f"{workload.name}: it has {workload.input.classes} classes, but {data.name} has"
            f" {data.classes}",
            expected=f'"classes": {data.classes}',
        )
    batch_size = training.batch_size or workload.recipe.batch_size
    if batch_size > data.train_examples:
        raise PlanError(
            f"{workload.name}: batch size {batch_size:,} is larger than {data.name}"
            f" ({data.train_examples:,} examples)",
            expected=f"at most {data.train_examples:,}",
            hint="a smaller --batch-size",
        )
    _check_batch_norm(workload, batch_size, data)


def _check_batch_norm(workload: Workload, batch_size: int, data: DataSet) -> None:
    """Raise `PlanError` if batch norm on a vector gets a batch of one example.

    One value cannot be normalised. On an image, batch norm also normalises over the pixels.
    """
    partial_batch = (
        data.train_examples % batch_size if workload.recipe.last_partial_batch == "keep" else 0
    )
    on_vector = any(
        isinstance(shape.layer, BatchNorm) and len(shape.input) == 1
        for shape in infer_shapes(workload)
    )
    if on_vector and 1 in (partial_batch, batch_size):
        raise PlanError(
            f"{workload.name}: with batch size {batch_size} a batch of {data.name} has one example;"
            " batch norm on a vector needs at least two",
            expected='another batch size, or "last_partial_batch": "drop"',
        )


def _job(
    group: Group, options: Options, *, backend: str, mode: Mode, seed: int, number: int
) -> Job:
    training = group.training
    epochs = (mode == "native" and training.native_epochs) or training.epochs
    return Job(
        workload=training.workload,
        dataset=training.data.name,
        mode=mode,
        backend=backend,
        device=group.device,
        threads=options.threads,
        seed=seed,
        precision=group.precision,
        compiled=mode == "matched" and entry(backend).compiles_on(group.device),
        deterministic=False,
        epochs=epochs,
        batch_size=training.batch_size or training.workload.recipe.batch_size,
        round=number,
    )
