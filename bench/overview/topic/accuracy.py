"""Slides on what models reach: agreement of frameworks, curves, activations, costs, descent."""

from __future__ import annotations

from functools import partial
from math import ceil, sqrt

import pandas as pd

from bench.overview.material import Material
from bench.overview.picture import curves, dots
from bench.overview.results import Results
from bench.overview.slides import Missing, Picture, Slide
from bench.report.chart.results import accuracy_interval
from bench.report.form import words
from bench.report.frame.doubts import EXCLUDED
from bench.report.frame.places import Row
from bench.statistics.accuracy import binomial_error

_SURE = 2.0  # standard errors, of a difference that a title claims
_PERCENT = 100
_LAST = 5  # epochs: the gap between training and test is a mean over the last ones
_MOST_LADDER = 9
_DROPOUT = ("mlp-relu", "mlp-relu-dropout")
_COSTS = ("mlp-relu", "mlp-relu-quadratic")
_ACTIVATIONS = {"mlp-sigmoid": "sigmoid", "mlp-tanh": "tanh", "mlp-relu": "ReLU"}
_SIZES = "softmax --batch-size 1,128,60000 --epochs 5 --backend jax"


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
    return f"bench run {what} --run {results.run.folder.resolve().name}"


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
        title=_claim(results, groups),
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
            *(_sentence(name, group) for name, group in groups.items()),
        ),
    )


def _claim(results: Results, groups: dict[str, list[dots.Accuracy]]) -> str:
    """Whether the frameworks agree, and how far they are apart."""
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
        return "The frameworks agree to the last test image"
    by_chance = all(_by_chance(results.rows(name)) for name in spread)
    apart = f"at most {_PERCENT * spread[most]:.2f} points apart ({most})"
    return f"The frameworks agree: {apart}" + (", not more than chance" * by_chance)


def _sentence(name: str, group: list[dots.Accuracy]) -> str:
    return f"{name}: " + ", ".join(f"{a.backend} {words.percent(a.value)}" for a in group) + "."


def _accuracy(results: Results, row: Row) -> dots.Accuracy:
    jobs = results.run.jobs
    group = results.group(row["workload"])
    of_backend = jobs[
        (jobs["workload"] == row["workload"])
        & (jobs["backend"] == row["backend"])
        & (jobs["status"] == "ok")
        & (jobs["epochs"] == row["epochs"])
        & (jobs["batch_size"] == row["batch_size"])
    ]
    seeds = tuple(of_backend.groupby("seed")["test_accuracy"].mean()) if group else ()
    low, high = accuracy_interval(seeds or (row["test_accuracy"],), row["test_examples"])
    return dots.Accuracy(row["backend"], row["test_accuracy"], low, high)


def _first(results: Results, name: str) -> Row | None:
    """The row of the first backend of the run that has a result on this workload."""
    rows = {row["backend"]: row for row in results.rows(name)}
    return next((rows[backend] for backend in results.backends if backend in rows), None)


def _ladder(results: Results) -> Slide | Missing:
    first = [(name, row) for name in results.workloads if (row := _first(results, name))]
    models = sorted(first, key=lambda pair: pair[1]["test_accuracy"])
    if len(models) < 2:  # noqa: PLR2004 - one model is no comparison
        return Missing("ladder", "fewer than two workloads", run_hint(results, "overview"))
    rows = [
        (name, row["test_accuracy"], row["course_accuracy"], results.parameters(name))
        for name, row in models[:1] + models[1:][-_MOST_LADDER + 1 :]
    ]
    worst, best = models[0], models[-1]
    ends = [words.percent(row["test_accuracy"]) for _, row in (worst, best)]
    title = "The accuracy of the models"
    if _is_sure(worst[1], best[1]):
        title = f"From {ends[0]} ({worst[0]}) to {ends[1]} ({best[0]})"
    backends = ", ".join(dict.fromkeys(row["backend"] for _, row in models))
    return Slide(
        key="ladder",
        title=title,
        parts=(
            Picture(
                "ladder",
                "The accuracy of each model and its number of weights",
                partial(curves.ladder, rows),
            ),
        ),
        notes=(
            f"One backend: {backends}. Epochs: "
            + ", ".join(f"{name} {row['epochs']}" for name, row in models)
            + ".",
        ),
    )


def _by_chance(rows: list[Row]) -> bool:
    """Whether the best and the worst accuracy of a workload differ by no more than chance."""
    ordered = sorted(rows, key=lambda row: row["test_accuracy"])
    return not _is_sure(ordered[0], ordered[-1])


def _is_sure(one: Row, other: Row) -> bool:
    """Whether two accuracies differ by more than chance, by the numbers of test images."""
    errors = [binomial_error(row["test_accuracy"], row["test_examples"]) for row in (one, other)]
    difference = abs(one["test_accuracy"] - other["test_accuracy"])
    return bool(difference > _SURE * sqrt(sum(error**2 for error in errors)))


def _activations(results: Results) -> Slide | Missing:
    rows = {text: row for name, text in _ACTIVATIONS.items() if (row := _first(results, name))}
    figures = ", ".join(
        f"{text} {words.percent(row['test_accuracy'])}" for text, row in rows.items()
    )
    title = "Three activation functions and their derivatives"
    if len(rows) == len(_ACTIVATIONS):
        worst = min(rows, key=lambda text: rows[text]["test_accuracy"])
        others = [text for text in rows if text != worst]
        if all(_is_sure(rows[worst], rows[text]) for text in others):
            title = f"{' and '.join(others)} are better than {worst} in the five-layer MLP"
    return Slide(
        key="activations",
        title=title,
        parts=(Picture("activations", title, curves.activations),),
        text=f"Five-layer MLP: {figures}." if rows else "",
        notes=("Where the derivative is near 0, a layer learns slowly.",),
    )


def _over_fitting(results: Results) -> Slide | Missing:
    backend = _common(results, _DROPOUT)
    if backend is None:
        return Missing("over-fitting", f"not both of {', '.join(_DROPOUT)}",
                       run_hint(results, "overview"))  # fmt: skip
    found = {name: results.curve(name, backend) for name in _DROPOUT}
    gap = {name: _gap(curve) for name, curve in found.items()}
    errors = [_gap_error(results, name, found[name]) for name in _DROPOUT]
    without, with_dropout = (_PERCENT * gap[name] for name in _DROPOUT)
    title = "The gap between training and test images, without and with dropout"
    if without - with_dropout > _SURE * _PERCENT * sqrt(sum(error**2 for error in errors)):
        title = f"Dropout closes the gap from {without:.1f} to {with_dropout:.1f} points"
    return Slide(
        key="over-fitting",
        title=title,
        parts=(
            Picture(
                "over-fitting",
                "Accuracy by epoch on training and test images; the gap is shaded",
                partial(curves.gaps, [curves.Gap(name, curve) for name, curve in found.items()]),
            ),
        ),
        text="Shaded: what the model knows of the training images only.",
        notes=(
            (
                f"{backend}. The gap is the mean over the last {_LAST} epochs at most. Training"
                " accuracy is of the first 10,000 training images, without dropout."
            ),
        ),
    )


def _common(results: Results, names: tuple[str, ...]) -> str | None:
    """The first backend with results on all these workloads."""
    have = [{row["backend"] for row in results.rows(name)} for name in names]
    return next((b for b in results.backends if all(b in those for those in have)), None)


def _last_of(curve: pd.DataFrame) -> pd.DataFrame:
    return curve.tail(max(1, min(_LAST, ceil(len(curve) / 5))))


def _gap(curve: pd.DataFrame) -> float:
    last = _last_of(curve)
    return float((last["train_accuracy"] - last["test_accuracy"]).mean())


def _gap_error(results: Results, name: str, curve: pd.DataFrame) -> float:
    """The standard error of a gap, by the number of images (10,000 training images at most)."""
    last, row = _last_of(curve).mean(), results.rows(name)[0]
    return sqrt(
        binomial_error(last["train_accuracy"], min(10_000, row["train_examples"])) ** 2
        + binomial_error(last["test_accuracy"], row["test_examples"]) ** 2
    )


def _costs(results: Results) -> Slide | Missing:
    backend = _common(results, _COSTS)
    if backend is None:
        return Missing("cost", f"not both of {', '.join(_COSTS)}", run_hint(results, "overview"))
    names = dict(zip(("cross-entropy", "quadratic"), _COSTS, strict=True))
    found = {cost: results.curve(name, backend)["test_accuracy"] for cost, name in names.items()}
    rows = [next(r for r in results.rows(name) if r["backend"] == backend) for name in _COSTS]
    first = [
        {"test_accuracy": curve.iloc[0], "test_examples": row["test_examples"]}
        for curve, row in zip(found.values(), rows, strict=True)
    ]
    ends = [curve.iloc[-1] for curve in found.values()]
    title = "Cross-entropy and quadratic cost"
    if _is_sure(first[0], first[1]):
        faster = (
            next(iter(found))
            if first[0]["test_accuracy"] > first[1]["test_accuracy"]
            else ("quadratic")
        )
        title = f"After one epoch, {faster} cost is ahead"
    return Slide(
        key="cost",
        title=title,
        parts=(
            Picture(
                "cost",
                "Test accuracy by epoch with either cost",
                partial(
                    curves.curves,
                    {cost: _PERCENT * curve for cost, curve in found.items()},
                    "test accuracy, %",
                ),
            ),
        ),
        text=f"At the end: cross-entropy {words.percent(ends[0])}, quadratic"
        f" {words.percent(ends[1])}.",
        notes=(f"mlp-relu in {backend}; same weights and batches, only the cost differs.",),
    )


def _descent(results: Results) -> Slide | Missing:
    sizes = results.batch_sizes("softmax")
    hint = run_hint(results, _SIZES)
    if len(sizes) < 2:  # noqa: PLR2004 - one size is no comparison
        return Missing("descent", "softmax ran with one batch size", hint)
    runs = {}
    for size, epochs in sizes.items():
        examples = int(epochs["train_examples"].iloc[0])
        losses = epochs.groupby("epoch")["test_loss"].mean()
        per_epoch = ceil(examples / size)
        name = "all images" if size >= examples else "1 image" if size == 1 else f"{size} images"
        runs[name] = (list(losses), [per_epoch * int(number) for number in losses.index])
    common = min(len(losses) for losses, _ in runs.values())
    after = [losses[common - 1] for losses, _ in runs.values()]
    title = "One, some or all images for each update"
    if after == sorted(after) and len(set(after)) == len(after):
        title = f"After {_epochs(common)}, the smaller the batch, the lower the loss"
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
                f"Softmax regression, {epochs['backend'].iloc[0]}; the learning rate is the same"
                " for all, which favours small batches."
            ),
        ),
    )


def _epochs(number: int) -> str:
    return "one epoch" if number == 1 else f"{number} epochs"
