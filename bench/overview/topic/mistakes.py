"""Slides with pictures: digits, mistakes, the confusion matrix, and what was learned."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.overview.material import Images, Material
from bench.overview.picture import digits
from bench.overview.picture.style import BAD, GOOD
from bench.overview.results import Results
from bench.overview.slides import Missing, Picture, Slide
from bench.overview.topic.accuracy import run_hint
from bench.records.learned import Learned
from specs.model import Conv2d, Flatten

_MOST = 36  # pictures of a grid on a slide
_KEPT = "no predictions are kept in this run: its records are older"
_MODELS = ("cnn-expanded", "cnn", "cnn-notebook", "lenet5", "lenet5-1998", "mlp-relu", "softmax")
_CONVOLUTIONS = ("lenet5", "lenet5-1998", "cnn-expanded", "cnn", "cnn-notebook")
_DIMENSIONS = 2


def slides(material: Material) -> list[Slide | Missing]:
    """Sample digits, mistakes, the confusion matrix, and the weights of first layers."""
    results = material.results
    name = next((name for name in _MODELS if results.learned(name)), None)
    images: Images | str = _KEPT
    if name is not None:
        record = next(iter(results.records(name).values()))
        images = material.images_of(record)
    if name is None or isinstance(images, str):
        keys = ("digits", "mistakes", "confusion")
        found: list[Slide | Missing] = [
            Missing(key, str(images), run_hint(results, "softmax")) for key in keys
        ]
    else:
        learned = results.learned(name)
        found = [
            _digits(images),
            _mistakes(name, learned, images),
            _confusion(name, learned, images),
        ]
    return [*found, _templates(results), _filters(results)]


def _digits(images: Images) -> Slide:
    """The first images of each class."""
    count = int(images.labels.max()) + 1
    each = max(1, _MOST // count)
    chosen = np.concatenate([np.flatnonzero(images.labels == c)[:each] for c in range(count)])
    titles = [str(images.labels[index]) for index in chosen]
    return Slide(
        key="digits",
        title=f"The task: {len(images.labels):,} test images, {count} classes",
        parts=(
            Picture(
                "digits",
                "Test images with their labels",
                partial(digits.grid, images.images[chosen], titles),
            ),
        ),
        notes=("The first test images of each class; no model has seen them in training.",),
    )


def wrong_in_all(learned: dict[str, Learned], images: Images) -> NDArray[np.bool_]:
    """(n,) whether an image is predicted wrongly by every backend."""
    wrong = [each.classes != images.labels for each in learned.values()]
    in_all: NDArray[np.bool_] = np.logical_and.reduce(wrong)
    return in_all


def _mistakes(name: str, learned: dict[str, Learned], images: Images) -> Slide | Missing:
    backend, first = next(iter(learned.items()))
    wrong = first.classes != images.labels
    in_all = wrong_in_all(learned, images)
    if not wrong.any():
        return Missing("mistakes", f"{name} in {backend} makes no mistake")
    right = _some(~wrong, digits.COLUMNS)
    mistakes = np.concatenate([_some(in_all, _MOST), _some(wrong & ~in_all, _MOST)])
    chosen = np.concatenate([right, mistakes])[:_MOST]
    starred = in_all & (len(learned) > 1)
    titles = [f"{images.labels[i]} → {first.classes[i]}{'*' if starred[i] else ''}" for i in chosen]
    colours = [BAD if wrong[i] else GOOD for i in chosen]
    title = f"{name} gets {int(wrong.sum()):,} of {len(wrong):,} test images wrong"
    if len(learned) > 1:
        title += f"; {int(in_all.sum()):,} of them in every framework"
    star = " *: wrong in every framework." if len(learned) > 1 else ""
    return Slide(
        key="mistakes",
        title=title,
        parts=(
            Picture(
                "mistakes",
                "Test images with label and prediction: right ones, then wrong ones",
                partial(digits.grid, images.images[chosen], titles, colours=colours),
            ),
        ),
        text=f"Label → prediction ({backend}); first row: right.{star}",
        notes=(
            "Wrong: "
            + ", ".join(
                f"{each} {int((kept.classes != images.labels).sum()):,}"
                for each, kept in learned.items()
            )
            + " images; all from the same initial weights and batches.",
        ),
    )


def _some(chosen: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """The indices of the chosen images; if there are more than `most`, evenly spread ones."""
    indices = np.flatnonzero(chosen)
    few = np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)
    some: NDArray[np.intp] = indices[few]
    return some


def confusion_of(learned: Learned, images: Images) -> NDArray[np.int64]:
    """(classes, classes): how many images of a label (row) were predicted as a class (column)."""
    classes = 1 + max(int(images.labels.max()), int(learned.classes.max()))
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (images.labels, learned.classes), 1)
    return counts


def most_confused(counts: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """The most frequent mistakes: label, prediction and their number; several if they are equal."""
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    most = int(mistakes.max())
    return [(int(a), int(b), most) for a, b in np.argwhere(mistakes == most)] if most else []


def _confusion(name: str, learned: dict[str, Learned], images: Images) -> Slide:
    backend, first = next(iter(learned.items()))
    counts = confusion_of(first, images)
    worst = most_confused(counts)
    title = "Which digit is taken for which"
    if len(worst) == 1:
        label, predicted, times = worst[0]
        title = f"Most often a {label} is taken for a {predicted}: {times} times"
    return Slide(
        key="confusion",
        title=title,
        parts=(Picture("confusion", "The confusion matrix", partial(digits.confusion, counts)),),
        notes=(f"{name} in {backend}, the first seed.",),
    )


def _templates(results: Results) -> Slide | Missing:
    learned = results.learned("softmax")
    if not learned:
        return Missing("templates", "no weights of softmax are kept", run_hint(results, "softmax"))
    backend, first = next(iter(learned.items()))
    shape = results.workload("softmax").input.shape
    if first.filters.ndim != _DIMENSIONS or first.filters.shape[0] != shape[0] * shape[1]:
        return Missing("templates", "the weights of softmax are not those of grey images")
    weights = first.filters.astype(np.float32).T.reshape(-1, *shape[:2])
    titles = [str(number) for number in range(len(weights))]
    return Slide(
        key="templates",
        title="The weights of softmax regression, one picture per digit",
        parts=(
            Picture(
                "templates",
                "The weights of softmax regression as images",
                partial(digits.signed_grid, weights, titles, columns=5),
            ),
        ),
        text="Blue: ink here speaks for the digit. Red: against it.",
        notes=(f"{backend}, the first seed.",),
    )


def _filters(results: Results) -> Slide | Missing:
    name = next((name for name in _CONVOLUTIONS if results.learned(name)), None)
    if name is None:
        return Missing("filters", "no weights of a CNN are kept", run_hint(results, "cnn"))
    backend, first = next(iter(results.learned(name).items()))
    layers = [layer for layer in results.workload(name).layers if not isinstance(layer, Flatten)]
    if not isinstance(layers[0], Conv2d) or first.filters.ndim != 2 + _DIMENSIONS:
        return Missing("filters", f"the first layer of {name} is no convolution")
    weights = np.moveaxis(first.filters.astype(np.float32).mean(axis=2), -1, 0)
    count, height, width = weights.shape
    return Slide(
        key="filters",
        title=f"The first layer of {name}: {count} filters of {height}×{width} weights",  # noqa: RUF001
        parts=(
            Picture(
                "filters",
                "The filters of the first convolution",
                partial(digits.signed_grid, weights, (), columns=min(count, 8)),
            ),
        ),
        text="Blue: positive, red: negative.",
        notes=(f"{backend}, the first seed.",),
    )
