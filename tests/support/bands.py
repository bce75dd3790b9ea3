"""Makes `specs/bands.json`: the losses and accuracies that an honest job has, with a margin.

    python -m tests.support.bands RUN [RUN ...]

adds the jobs of run folders to the kept trainings, and makes the bands of all of them. Without a
run it makes them of the kept ones.

The rule. Losses are compared by their logarithm, accuracies by that of correct to wrong answers
(the logit), so that a scatter is a share of the loss or of the errors, and 0.97 and 0.98 differ as
much as 0.985 and 0.99. For each workload and data set, and each epoch:

1. If two or more seeds reached the epoch, all of its values count. If only one did, there is no
   scatter over seeds, and a job may be behind: the values of the epochs from half its number to
   it count. Such a loss may be as low as it likes, such an accuracy as high; and `LATE_LOSS` of the
   first epoch's loss is added to its highest, as the logarithm of the loss of a model that knows
   its training set by heart jumps by factors of ten.
2. The scatter is the standard deviation of the seeds' means, plus (in squares) that of the backends
   within a seed. Few seeds measure it badly. So it is at least that of all epochs together that
   several seeds of this workload reached on this data set, and at least the median of this over the
   workloads of its kind (without a hidden layer, dense, with convolutions), where there is only one
   on this data set: of all data sets. An epoch that only one seed reached has this least scatter.
3. The band begins some scatters below the lowest value, and ends as many above the highest:
   `LOSS_SCATTERS` or `ACCURACY_SCATTERS`. A loss has more, as losses of different seeds are alike
   and few seeds find too small a scatter (with 4, one of 90 trainings with other seeds was
   outside); the accuracies of the seeds scatter more, and so do those of the kind. Where only two
   seeds reached the epoch, it is `FEW` times as many.
   103 trainings with other seeds are all inside.
4. It is at least this much wider than its values: a loss `LEAST_LOSS` of it; an accuracy
   `STANDARD_ERRORS` binomial standard errors of the test images, and `LEAST_ACCURACY`.

Bounds are rounded outwards, and those of an accuracy lie in 0..1.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from statistics import fmean, mean, median, variance
from typing import NamedTuple

import msgspec

from bench.records.run import read_run
from bench.statistics.accuracy import binomial_error
from specs.bands import FILE, Band, Range
from specs.model import Conv2d, Dense
from tests.support.jobs import named
from tests.support.trainings import Training, keep_trainings, trainings_of

LOSS_SCATTERS = 6.0
ACCURACY_SCATTERS = 4.0
STANDARD_ERRORS = 6.0
FEW = 1.5
LEAST_LOSS = 0.1  # as a share of the loss
LEAST_ACCURACY = 0.01  # 1 percentage point
LATE_LOSS = 0.02  # as a share of the first epoch's loss
_SEVERAL = 2  # seeds or backends: the fewest that have a scatter

Set = tuple[str, str, int]  # a workload, a data set, its training examples
# epoch -> seed -> the values of the backends, as logarithms
Values = dict[int, dict[int, list[float]]]


class Figure(NamedTuple):
    """What a band is of: loss or accuracy.

    Attributes:
        of: the values of a training, one per epoch.
        scatters: how many a band is wider than its values, on either side.
        logarithm: of a value, given it and the number of test images.
        value: the inverse of `logarithm`.
        widen: the lowest and highest value, those of a band, and the test images -> the band.
        late: the band of an epoch that one seed reached, given the first epoch's lowest and highest
            value.
    """

    of: Callable[[Training], tuple[float, ...]]
    scatters: float
    logarithm: Callable[[float, int], float]
    value: Callable[[float], float]
    widen: Callable[[Range, Range, int], Range]
    late: Callable[[Range, Range], Range]


def make_bands(trainings: Iterable[Training]) -> list[Band]:
    """The bands of every workload and data set that was trained, by the rule of this module."""
    sets: dict[Set, list[Training]] = defaultdict(list)
    for each in trainings:
        sets[each.workload, each.dataset, each.train_examples].append(each)
    losses, accuracies = _ranges(sets, LOSS), _ranges(sets, ACCURACY)
    return [
        Band(
            workload=key[0],
            dataset=key[1],
            train_examples=key[2],
            losses=losses[key],
            accuracies=accuracies[key],
            runs=len(sets[key]),
        )
        for key in sorted(sets)
    ]


def _ranges(sets: dict[Set, list[Training]], figure: Figure) -> dict[Set, tuple[Range, ...]]:
    """The range of a figure in each epoch, for each workload and data set."""
    values = {key: _values(each, figure) for key, each in sets.items()}
    images = {key: each[0].test_examples for key, each in sets.items()}
    least = _least_scatters(values)
    return {
        key: tuple(_range(each, epoch, least[key], images[key], figure) for epoch in sorted(each))
        for key, each in values.items()
    }


def _values(trainings: list[Training], figure: Figure) -> Values:
    values: Values = defaultdict(lambda: defaultdict(list))
    for each in trainings:
        for epoch, value in enumerate(figure.of(each), start=1):
            values[epoch][each.seed].append(figure.logarithm(value, each.test_examples))
    return values


def _range(values: Values, epoch: int, least: float, images: int, figure: Figure) -> Range:
    """The range in an epoch.

    Args:
        values: of all epochs.
        epoch: counted from 1.
        least: the least scatter.
        images: the number of test images.
        figure: the loss, or the accuracy.
    """
    several = len(values[epoch]) >= _SEVERAL or epoch == 1
    near = [epoch] if several else [other for other in values if epoch / 2 < other <= epoch]
    own = scatter_of([values[epoch]]) if several else 0.0
    few = FEW if len(values[epoch]) == _SEVERAL else 1.0
    scatter = few * figure.scatters * max(least, own)
    low, high = _ends(values, near)
    band = figure.value(low - scatter), figure.value(high + scatter)
    band = figure.widen((figure.value(low), figure.value(high)), band, images)
    if several:
        return band
    low, high = _ends(values, [1])
    return figure.late(band, (figure.value(low), figure.value(high)))


def _ends(values: Values, epochs: Iterable[int]) -> Range:
    found = [value for epoch in epochs for value in chain(*values[epoch].values())]
    return min(found), max(found)


def scatter_of(epochs: Iterable[dict[int, list[float]]]) -> float:
    """The scatter of some epochs together; of a single seed that of its backends; else 0."""
    epochs = list(epochs)
    between = [variance(map(fmean, seeds.values())) for seeds in epochs if len(seeds) >= _SEVERAL]
    within = [
        variance(found) for seeds in epochs for found in seeds.values() if len(found) >= _SEVERAL
    ]
    return math.sqrt((mean(between) if between else 0.0) + (mean(within) if within else 0.0))


def _least_scatters(values: dict[Set, Values]) -> dict[Set, float]:
    """The least scatter of each workload and data set: its own, and the median of its kind."""
    own = {}
    for key, epochs in values.items():
        several = [seeds for seeds in epochs.values() if len(seeds) >= _SEVERAL]
        if several:
            own[key] = scatter_of(several)
    least = {}
    for key in values:
        kind = {other: scatter for other, scatter in own.items() if _kind(other) == _kind(key)}
        near = {other: scatter for other, scatter in kind.items() if other[1] == key[1]}
        alike = near if len(near) >= _SEVERAL else kind
        least[key] = max(own.get(key, 0.0), median(alike.values()))
    return least


def _kind(key: Set) -> str:
    layers = named(key[0]).layers
    if any(isinstance(layer, Conv2d) for layer in layers):
        return "with convolutions"
    return "dense" if sum(isinstance(layer, Dense) for layer in layers) > 1 else "convex"


def _widen_loss(found: Range, band: Range, images: int) -> Range:
    low = min(band[0], found[0] * (1 - LEAST_LOSS))
    high = max(band[1], found[1] * (1 + LEAST_LOSS))
    return _digits(low, math.floor), _digits(high, math.ceil)


def _late_loss(band: Range, first: Range) -> Range:
    return 0.0, _digits(band[1] + LATE_LOSS * first[1], math.ceil)


def _widen_accuracy(found: Range, band: Range, images: int) -> Range:
    errors = [STANDARD_ERRORS * binomial_error(value, images) for value in found]
    low = min(band[0], found[0] - max(errors[0], LEAST_ACCURACY))
    high = max(band[1], found[1] + max(errors[1], LEAST_ACCURACY))
    return max(0.0, math.floor(low * 1e4) / 1e4), min(1.0, math.ceil(high * 1e4) / 1e4)


def _digits(value: float, towards: Callable[[float], int], digits: int = 3) -> float:
    """A positive value with a few significant digits."""
    unit = digits - 1 - math.floor(math.log10(value))
    return float(f"{towards(value * 10.0**unit)}e{-unit}")


def _logit(accuracy: float, images: int) -> float:
    """Of an accuracy, which is at least half an image away from 0 and 1."""
    inner = min(max(accuracy, 0.5 / images), 1 - 0.5 / images)
    return math.log(inner / (1 - inner))


LOSS = Figure(
    of=lambda training: training.losses,
    scatters=LOSS_SCATTERS,
    logarithm=lambda loss, images: math.log(loss),
    value=math.exp,
    widen=_widen_loss,
    late=_late_loss,
)
ACCURACY = Figure(
    of=lambda training: training.accuracies,
    scatters=ACCURACY_SCATTERS,
    logarithm=_logit,
    value=lambda logit: 1 / (1 + math.exp(-logit)),
    widen=_widen_accuracy,
    late=lambda band, first: (band[0], 1.0),
)


def main(folders: list[str]) -> None:
    """Keep the trainings of some runs, and write the bands of all."""
    records = chain.from_iterable(read_run(Path(folder))[0] for folder in folders)
    bands = make_bands(keep_trainings(trainings_of(records)))
    lines = [msgspec.json.encode(band).decode() for band in bands]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    for band in bands:
        print(f"{band.workload} on {band.dataset}: {band.runs} trainings")


if __name__ == "__main__":
    main(sys.argv[1:])
