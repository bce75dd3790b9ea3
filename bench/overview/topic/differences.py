"""Slides on why numbers differ: defaults, four causes, and a fast wrong answer."""

from __future__ import annotations

from functools import partial
from math import isfinite, sqrt
from pathlib import Path

import msgspec
import pandas as pd
from msgspec import Struct

from backends.defaults import SETTINGS
from backends.defaults_of import defaults_of
from backends.registry import BACKENDS
from bench.overview.material import Material
from bench.overview.picture import curves
from bench.overview.results import Results
from bench.overview.slides import Missing, Picture, Slide
from bench.report.form import words
from bench.report.form.blocks import Table
from bench.report.frame.pairs import Pair
from bench.report.frame.places import Row
from bench.statistics.accuracy import binomial_error
from bench.statistics.distributions import normal_below
from bench.statistics.many import holm

_FILE = Path(__file__).parents[1] / "fast_wrong.json"
_LEVEL = 0.01  # of the differences between native and matched mode
# The settings that a slide shows, and the backends whose frameworks it compares.
_SHOWN = (
    "kernel initializer",
    "dense kernel's axes",
    "image layout",
    "position of rmsprop's epsilon",
    "meaning of batch norm's momentum",
    "batch norm's running variance",
    "cross-entropy takes",
    "shuffling",
    "TF32 in convolutions",
)
# A setting -> the name of its argument in Keras and in PyTorch. The tests find each name in the
# script of a workload that sets it.
ARGUMENTS = {
    "sgd's learning rate": ("learning_rate", "lr"),
    "rmsprop's learning rate": ("learning_rate", "lr"),
    "rmsprop's rho": ("rho", "alpha"),
    "rmsprop's epsilon": ("epsilon", "eps"),
    "adam's epsilon": ("epsilon", "eps"),
    "adadelta's learning rate": ("learning_rate", "lr"),
    "adadelta's rho": ("rho", "rho"),
    "batch norm's epsilon": ("epsilon", "eps"),
    "batch norm's momentum": ("momentum", "momentum"),
}
_FRAMEWORKS = {"Keras": "keras-tensorflow", "PyTorch": "pytorch", "JAX": "jax"}
# The first RMSprop step for a small gradient, with the epsilon of the course's workloads.
_GRADIENT, _RHO, _EPSILON = 1e-5, 0.9, 1e-7


def slides(material: Material) -> list[Slide | Missing]:
    """Defaults, four causes of differences, and the miscompiled CNN."""
    return [_arguments(), _defaults(), _causes(material.results), fast_wrong()]


def _texts() -> dict[str, dict[str, str]]:
    """Framework -> setting -> its default."""
    return {
        framework: {default.setting: default.text for default in defaults_of(backend)}
        for framework, backend in _FRAMEWORKS.items()
    }


def _arguments() -> Slide:
    texts = _texts()
    rows = tuple(
        (
            setting,
            f"`{keras}` = {texts['Keras'][setting]}",
            f"`{pytorch}` = {texts['PyTorch'][setting]}",
        )
        for setting, (keras, pytorch) in ARGUMENTS.items()
    )
    differ = sum(texts["Keras"][name] != texts["PyTorch"][name] for name in ARGUMENTS)
    return Slide(
        key="arguments",
        title=f"Other names, and another default in {differ} of {len(rows)} arguments",
        parts=(Table(("setting", "Keras, TensorFlow", "PyTorch"), rows),),
        text="JAX itself has no optimizers; they are written by hand, or come from Optax.",
        notes=("The tests compare these defaults with the installed frameworks.",),
    )


def _defaults() -> Slide:
    by_framework = _texts()
    rows = tuple(
        (name, *(texts.get(name, words.ABSENT) for texts in by_framework.values()))
        for name in _SHOWN
    )
    keras, pytorch = by_framework["Keras"], by_framework["PyTorch"]
    differ = sum(keras.get(setting.name) != pytorch.get(setting.name) for setting in SETTINGS)
    return Slide(
        key="defaults",
        title=f"Keras and PyTorch have other defaults in {differ} of {len(SETTINGS)} settings",
        parts=(Table(("setting", *_FRAMEWORKS), rows),),
        text="The tests compare this table with the installed frameworks.",
        notes=("`bench defaults` shows all settings, and what the bench sets instead.",),
    )


def first_step(gradient: float, *, inside: bool) -> float:
    """The first step of RMSprop divided by the learning rate, with epsilon in or after the root.

    Args:
        gradient: the gradient of a weight.
        inside: `g / sqrt(v + epsilon)` (Keras); else `g / (sqrt(v) + epsilon)` (PyTorch).
    """
    average = (1 - _RHO) * gradient**2
    root = sqrt(average + _EPSILON) if inside else sqrt(average) + _EPSILON
    return gradient / root


def _causes(results: Results) -> Slide:
    ratio = first_step(_GRADIENT, inside=False) / first_step(_GRADIENT, inside=True)
    rows = (
        ("own initial weights and defaults", *_own_defaults(results)),
        (
            "place of epsilon in RMSprop",
            f"first step for a gradient of {_GRADIENT:g}",
            f"{ratio:.0f} times as long outside the root",
        ),
        ("own input pipeline", *_own_inputs(results)),
        ("compiler", *_compiler(results)),
    )
    return Slide(
        key="causes",
        title="Four reasons why published numbers differ",
        parts=(Table(("cause", "compared", "effect"), rows),),
        text="Matched mode removes the first three. A compiled backend has its own name.",
        notes=(
            (
                "Native mode trains as the framework's own tutorial does; matched mode has the same"
                " weights, batches and formulas everywhere."
            ),
            f"Epsilon: {_EPSILON:g}, rho {_RHO:g}; computed, not measured.",
            "What is not measured: `bench run quick --mode matched,native` measures it.",
        ),
    )


_NOT_MEASURED = (words.ABSENT, "not measured in this run")


def _both_modes(results: Results) -> list[tuple[str, Row, Row]]:
    """Workload, matched row and native row of each backend with results in both modes."""
    return [
        (name, row, native)
        for name in results.workloads
        for row in results.rows(name)
        if (native := results.native(name, row["backend"])) is not None
    ]


def _own_defaults(results: Results) -> tuple[str, str]:
    """The largest significant difference in accuracy between native and matched mode.

    All differences are tested with Holm's correction, as the largest of many may be chance.
    """
    pairs = _both_modes(results)
    if not pairs:
        return _NOT_MEASURED
    differences, chances = [], []
    for _, matched, native in pairs:
        images = int(matched["test_examples"])
        values = [float(row["test_accuracy"]) for row in (matched, native)]
        error = sqrt(sum(binomial_error(value, images) ** 2 for value in values))
        differences.append(values[1] - values[0])
        chances.append(2 * normal_below(-abs(differences[-1]) / error))
    sure = [chance <= _LEVEL for chance in holm(chances)]
    candidates = [n for n in range(len(pairs)) if sure[n]] or [*range(len(pairs))]
    largest = max(candidates, key=lambda number: abs(differences[number]))
    name, matched, _ = pairs[largest]
    by_chance = "" if sure[largest] else ", not more than chance"
    return (
        f"{name}, {matched['backend']}: native with matched",
        f"{words.points(differences[largest])} points{by_chance}",
    )


def _own_inputs(results: Results) -> tuple[str, str]:
    """The largest share of the input pipeline in an epoch of native mode.

    The input is read once, without training. On a busy machine this may take longer than an epoch.
    """
    answer, largest = None, 0.0
    for name, matched, native in _both_modes(results):
        inputs, epoch = native["inputs_seconds"], native["epoch_seconds"]
        if isfinite(inputs) and isfinite(epoch) and inputs / epoch > largest:
            largest = inputs / epoch
            compared = f"{name}, {matched['backend']}: reading with a whole epoch"
            answer = (compared, f"{words.share(min(largest, 1.0))} of the time, at most")
    return answer or _NOT_MEASURED


def _compiler(results: Results) -> tuple[str, str]:
    """The pair of a backend and its compiled variant with the largest difference in time."""
    pairs: list[Pair] = []
    for name in results.workloads:
        for pair in results.pairs(name):
            entries = [BACKENDS.get(backend_name) for backend_name in (pair.backend, pair.other)]
            variants = [entry for entry in entries if entry is not None and entry.compiled]
            # Two compiled backends do not differ by compiling.
            is_variant = variants and variants[0].variant_of in (pair.backend, pair.other)
            if len(variants) == 1 and is_variant and isfinite(pair.comparison.ratio):
                pairs.append(pair)
    if not pairs:
        return _NOT_MEASURED
    decided = [pair for pair in pairs if pair.comparison.outcome in ("faster", "slower")]
    pair = max(decided or pairs, key=lambda p: max(p.comparison.ratio, 1 / p.comparison.ratio))
    result = pair.comparison
    first = BACKENDS.get(pair.backend)
    compiled, plain, ratio = (
        (pair.backend, pair.other, result.ratio)
        if first is not None and first.compiled
        else (pair.other, pair.backend, 1 / result.ratio)
    )
    verdict = "a clear difference" if decided else "undecided"
    return f"{pair.workload}: {compiled} with {plain}", f"{ratio:.2f} of the time, {verdict}"


class FastWrong(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stored result of the miscompiled CNN.

    Attributes:
        date: when it was measured.
        measured: on which machine, and with which versions.
        accuracies: backend -> test accuracy after every epoch; the miscompiled one is the first.
        found: what the verification of the job found.
    """

    date: str
    measured: str
    accuracies: dict[str, tuple[float, ...]]
    found: str


def fast_wrong() -> Slide:
    """The slide of the compiled CNN whose convolutions had no gradient."""
    stored = msgspec.json.decode(_FILE.read_bytes(), type=FastWrong)
    lines = {
        name: pd.Series(values, index=range(1, len(values) + 1)) * 100
        for name, values in stored.accuracies.items()
    }
    wrong, *right = stored.accuracies.values()
    lost = 100 * (min(values[-1] for values in right) - wrong[-1])
    return Slide(
        key="fast-wrong",
        title=f"A wrong answer without an error message: {lost:.1f} points lost",
        parts=(
            Picture(
                "fast-wrong",
                "Test accuracy by epoch of the miscompiled CNN and of correct ones",
                partial(curves.curves, lines, "test accuracy, %"),
            ),
        ),
        text=f"Kept from {stored.date}: a compiler set every gradient of the convolutions to zero.",
        notes=(
            (
                f"PyTorch 2.13.0, torch.compile with its layout optimization: {stored.measured}."
                " Without that optimization the result is right, and the bench switches it off."
            ),
            f"The bench trains the first steps again, and calls the job wrong: {stored.found}.",
        ),
    )
