"""Slides on accuracy: agreement of frameworks, curves, activations, costs, descent."""

from __future__ import annotations

import shlex
from functools import partial
from itertools import pairwise
from math import ceil, sqrt
from pathlib import Path

import pandas as pd

from bench.overview.claims import ONE_SEED, Compared
from bench.overview.material import Material
from bench.overview.picture import curves, dots
from bench.overview.results import Results
from bench.overview.slides import Missing, Picture, Slide
from bench.report.chart.results import accuracy_interval
from bench.report.form import words
from bench.report.frame.doubts import EXCLUDED
from bench.report.frame.places import Row
from bench.statistics.accuracy import binomial_error

_PERCENT = 100
_SURE = 3.0  # standard errors: a larger difference between two gaps is claimed
_LAST = 5  # the gap between training and test is the mean over this number of last epochs
_MOST_LADDER = 9
_DROPOUT = ("mlp-relu", "mlp-relu-dropout")
_COSTS = {"cross-entropy": "mlp-relu", "quadratic": "mlp-relu-quadratic"}
_ACTIVATIONS = {"mlp-sigmoid": "sigmoid", "mlp-tanh": "tanh", "mlp-relu": "ReLU"}
_DESCENT = ("softmax-sgd", "softmax")
_SIZES = "softmax-sgd --batch-size 1,128,60000 --epochs 5 --backend jax"


def slides(material: Material) -> list[Slide | Missing]:
    """The slides of this topic, in the order of a course."""
    results = material.results
    return [
        _agreement(results),
        _ladder(results),
        _activations(results),
        _over_fitting(results),
        _costs(results),
        _descent(results),
    ]


def run_hint(results: Results, what: str) -> str:
    """The command that adds jobs to this run."""
    folder = results.whole.folder.resolve()
    command = f"bench run {what} --run {shlex.quote(folder.name)}"
    if folder.parent != Path("results").resolve():
        command += f" --results {shlex.quote(str(folder.parent))}"
    return command


def _agreement(results: Results) -> Slide | Missing:
    groups = {
        name: [_accuracy(results, row) for row in rows]
        for name in results.workloads
        if (rows := results.rows(name))
    }
    if not groups:
        return Missing("accuracy", "no job ended ok")
    first = {name: results.rows(name)[0] for name in groups}
    published = {
        name: row["course_accuracy"] for name, row in first.items() if row["course_accuracy"] > 0
    }
    return Slide(
        key="accuracy",
        title=_agreement_claim(results, groups),
        parts=(
            Picture(
                "accuracy",
                "A row per workload, a marker per framework, with intervals of 95 %",
                partial(dots.accuracies, groups, published),
            ),
        ),
        notes=(
            (
                "Accuracy of the last epoch, mean over seeds. Line: interval of 95 %, from the"
                " seeds; with one seed from the number of test images."
            ),
            *(_sentence(results, name, group) for name, group in groups.items()),
        ),
    )


def _agreement_claim(results: Results, groups: dict[str, list[dots.Accuracy]]) -> str:
    """Whether the frameworks agree (in every epoch, see `bench.statistics.agreement`)."""
    jobs = results.run.jobs
    if wrong := int(jobs["status"].isin(EXCLUDED).sum()):
        return f"{wrong} of {len(jobs)} results are wrong or suspect, and left out"
    spread = {
        name: max(a.value for a in group) - min(a.value for a in group)
        for name, group in groups.items()
        if len(group) > 1
    }
    if not spread or jobs["agrees"].dropna().empty:
        return "Accuracy on the test images"
    most = max(spread, key=lambda name: spread[name])
    if not spread[most]:
        return "The frameworks agree: all have the same accuracy"
    return f"The frameworks agree: at most {_PERCENT * spread[most]:.2f} points apart ({most})"


def _sentence(results: Results, name: str, group: list[dots.Accuracy]) -> str:
    row = results.rows(name)[0]
    figures = ", ".join(f"{a.backend} {words.percent(a.value)}" for a in group)
    return f"{name}, {row['dataset']}, {_epochs(row['epochs'])}: {figures}."


def _accuracy(results: Results, row: Row) -> dots.Accuracy:
    seeds = tuple(results.seeds(row["workload"], row["backend"]).values())
    low, high = accuracy_interval(seeds or (row["test_accuracy"],), row["test_examples"])
    return dots.Accuracy(row["backend"], row["test_accuracy"], low, high)


def _ladder(results: Results) -> Slide | Missing:
    backend = _most_complete(results)
    rows = [row for name in results.workloads if (row := results.row(name, backend)) is not None]
    if len(rows) < 2:  # noqa: PLR2004 - one model is no comparison
        return Missing("ladder", "fewer than two workloads", run_hint(results, "overview"))
    rows.sort(key=lambda row: row["test_accuracy"])
    shown = rows[:1] + rows[1:][-_MOST_LADDER + 1 :]
    worst, best = rows[0], rows[-1]
    ends = [words.percent(row["test_accuracy"]) for row in (worst, best)]
    title = f"From {ends[0]} ({worst['workload']}) to {ends[1]} ({best['workload']})"
    models = [
        (
            row["workload"],
            row["test_accuracy"],
            row["course_accuracy"],
            results.parameters(row["workload"]),
        )
        for row in shown
    ]
    seeds = {len(results.seeds(row["workload"], backend)) for row in rows}
    return Slide(
        key="ladder",
        title=title + (ONE_SEED if seeds == {1} else ""),
        parts=(
            Picture(
                "ladder",
                "The accuracy of each model and its number of weights",
                partial(curves.ladder, models),
            ),
        ),
        notes=(
            f"{backend}. "
            + "; ".join(
                f"{row['workload']}: {_epochs(row['epochs'])} of {row['train_examples']:,} images"
                for row in rows
            )
            + ".",
        ),
    )


def _most_complete(results: Results) -> str:
    """The backend with results on the most workloads; "" without any."""
    counts = {
        name: sum(results.row(workload, name) is not None for workload in results.workloads)
        for name in results.backends
    }
    return max(counts, key=lambda name: counts[name], default="")


def _activations(results: Results) -> Slide:
    backend = _common(results, tuple(_ACTIVATIONS))
    rows = {
        text: row
        for name, text in _ACTIVATIONS.items()
        if (row := results.row(name, backend or "")) is not None
    }
    title = "Three activation functions and their derivatives"
    if len(rows) == len(_ACTIVATIONS):
        worst = min(rows, key=lambda text: rows[text]["test_accuracy"])
        others = [text for text in rows if text != worst]
        pairs = [Compared(results, (rows[worst], rows[text])) for text in others]
        if all(pair.is_sure for pair in pairs):
            title = f"{' and '.join(others)} are better than {worst}{pairs[0].said}"
    figures = ", ".join(f"{t} {words.percent(row['test_accuracy'])}" for t, row in rows.items())
    return Slide(
        key="activations",
        title=title,
        parts=(
            Picture("activations", "Sigmoid, tanh, ReLU and their derivatives", curves.activations),
        ),
        text=f"Five-layer MLP in {backend}: {figures}." if rows else "",
        notes=("Where the derivative is near 0, a layer learns slowly.",),
    )


def _over_fitting(results: Results) -> Slide | Missing:
    backend = _common(results, _DROPOUT)
    if backend is None:
        reason = f"not both of {', '.join(_DROPOUT)}"
        return Missing("over-fitting", reason, run_hint(results, "overview"))
    curve_of = {name: results.curve(name, backend) for name in _DROPOUT}
    without, with_dropout = (_PERCENT * _gap(curve) for curve in curve_of.values())
    rows = [row for name in _DROPOUT if (row := results.row(name, backend)) is not None]
    compared = Compared(results, rows)
    evaluated = min(_evaluated(results, name, backend) for name in _DROPOUT)
    errors = [
        _gap_error(curve, evaluated, row)
        for curve, row in zip(curve_of.values(), rows, strict=True)
    ]
    sure = without - with_dropout > _SURE * _PERCENT * sqrt(sum(error**2 for error in errors))
    title = "The gap between training and test images, without and with dropout"
    if compared.is_fair and sure:
        title = f"With dropout the gap is {with_dropout:.1f} instead of {without:.1f} points"
        title += compared.said
    return Slide(
        key="over-fitting",
        title=title,
        parts=(
            Picture(
                "over-fitting",
                "Accuracy by epoch on training and test images; the gap is shaded",
                partial(curves.gaps, [curves.Gap(name, curve) for name, curve in curve_of.items()]),
            ),
        ),
        text="Shaded: what the model knows of the training images only.",
        notes=(
            (
                f"{backend}. The gap is the mean over the last {_LAST} epochs at most. Training"
                f" accuracy is of the first {evaluated:,} training images, without dropout."
            ),
        ),
    )


def _evaluated(results: Results, name: str, backend: str) -> int:
    """The number of training images that were evaluated after every epoch."""
    record = results.record(name, backend)
    return record.startup.train_evaluated if record.startup else record.data.train_examples


def _common(results: Results, names: tuple[str, ...]) -> str | None:
    """The first backend with results on all these workloads."""
    have = [{row["backend"] for row in results.rows(name)} for name in names]
    return next(
        (b for b in results.backends if all(b in with_results for with_results in have)),
        None,
    )


def _last_of(curve: pd.DataFrame) -> pd.DataFrame:
    return curve.tail(max(1, min(_LAST, ceil(len(curve) / 5))))


def _gap(curve: pd.DataFrame) -> float:
    last = _last_of(curve)
    return float((last["train_accuracy"] - last["test_accuracy"]).mean())


def _gap_error(curve: pd.DataFrame, evaluated: int, row: Row) -> float:
    """The standard error of a gap, from the numbers of images."""
    last = _last_of(curve).mean()
    errors = (
        binomial_error(last["train_accuracy"], max(evaluated, 1)),
        binomial_error(last["test_accuracy"], row["test_examples"]),
    )
    return sqrt(sum(error**2 for error in errors))


def _costs(results: Results) -> Slide | Missing:
    backend = _common(results, tuple(_COSTS.values()))
    if backend is None:
        reason = f"not both of {', '.join(_COSTS.values())}"
        return Missing("cost", reason, run_hint(results, "overview"))
    curve_of = {c: results.curve(name, backend)["test_accuracy"] for c, name in _COSTS.items()}
    rows = [row for name in _COSTS.values() if (row := results.row(name, backend)) is not None]
    compared = Compared(results, rows)
    title = "Cross-entropy and quadratic cost"
    if compared.is_sure:
        ahead = max(curve_of, key=lambda cost: curve_of[cost].iloc[-1])
        title = f"{ahead.capitalize()} cost reaches more{compared.said}"
    ends = ", ".join(f"{cost} {words.percent(curve.iloc[-1])}" for cost, curve in curve_of.items())
    firsts = ", ".join(f"{cost} {words.percent(curve.iloc[0])}" for cost, curve in curve_of.items())
    same = "Same weights, batches and seeds" if compared.is_fair else "Not the same training"
    return Slide(
        key="cost",
        title=title,
        parts=(
            Picture(
                "cost",
                "Test accuracy by epoch with either cost",
                partial(
                    curves.curves,
                    {cost: _PERCENT * curve for cost, curve in curve_of.items()},
                    "test accuracy, %",
                ),
            ),
        ),
        text=f"First epoch: {firsts}. Last: {ends}.",
        notes=(f"mlp-relu in {backend}. {same}; only the cost differs.",),
    )


def _descent(results: Results) -> Slide | Missing:
    name = max(_DESCENT, key=lambda name: len(results.batch_sizes(name)))
    sizes = results.batch_sizes(name)
    if len(sizes) < 2:  # noqa: PLR2004 - one size is no comparison
        reason = f"{name} ran with one batch size"
        return Missing("descent", reason, run_hint(results, _SIZES))
    runs = {}
    for size, epochs in sizes.items():
        examples = int(epochs["train_examples"].iloc[0])
        losses = epochs.groupby("epoch")["test_loss"].mean()
        title = "all images" if size >= examples else "1 image" if size == 1 else f"{size} images"
        runs[title] = list(losses), [ceil(examples / size) * int(n) for n in losses.index]
    common = min(len(losses) for losses, _ in runs.values())
    after = [losses[common - 1] for losses, _ in runs.values()]
    title = "One, some or all images for each update"
    if all(earlier < later for earlier, later in pairwise(after)):
        title = f"In this run, smaller batches had the lower loss after {_epochs(common)}"
    return Slide(
        key="descent",
        title=title,
        parts=(
            Picture(
                "descent",
                "Test loss by epoch and by update, a line per batch size",
                partial(curves.descent, runs, "test loss"),
            ),
        ),
        text="An epoch of small batches has many updates; one of all images has one.",
        notes=(
            (
                f"{name} in {epochs['backend'].iloc[0]}; the learning rate is the same for all,"
                " which favours small batches."
            ),
        ),
    )


def _epochs(number: int) -> str:
    return "one epoch" if number == 1 else f"{number} epochs"
