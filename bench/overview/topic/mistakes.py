"""Slides with pictures: images, mistakes, the confusion matrix, and learned weights."""

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
from specs.model import Conv2d, Dense, Flatten

_MOST = 36  # pictures in the grid of a slide
_KEPT = "this run has no predictions in `learned/`: jobs that ran before are not run again"


def slides(material: Material) -> list[Slide | Missing]:
    """Sample images, mistakes, the confusion matrix, and the weights of first layers."""
    results = material.results
    name = best_learned(results)
    images: Images | str = _KEPT
    if name is not None:
        backend = next(iter(results.learned(name)))
        images = material.images_of(results.record(name, backend))
    if name is None or isinstance(images, str):
        hint = run_hint(results, "overview")
        keys = ("digits", "mistakes", "confusion")
        image_slides: list[Slide | Missing] = [Missing(key, str(images), hint) for key in keys]
    else:
        learned = results.learned(name)
        kind = thing(results, name)
        image_slides = [
            _samples(images, kind),
            _mistakes(name, learned, images),
            _confusion(name, learned, images, kind),
        ]
    return [*image_slides, _templates(results), _filters(results)]


def best_learned(results: Results) -> str | None:
    """The workload with the best accuracy among those with stored predictions."""
    names = [name for name in results.workloads if results.learned(name)]
    return max(
        names,
        key=lambda name: max(row["test_accuracy"] for row in results.rows(name)),
        default=None,
    )


def thing(results: Results, name: str) -> str:
    """The noun for a class of a workload's data: "digit" for MNIST, else "class"."""
    dataset = str(results.rows(name)[0]["dataset"])
    return "digit" if dataset.startswith("mnist") else "class"


def _samples(images: Images, kind: str) -> Slide:
    """The first images of each class."""
    count = int(images.labels.max()) + 1
    per_class = max(1, _MOST // count)
    chosen = np.concatenate([np.flatnonzero(images.labels == c)[:per_class] for c in range(count)])
    titles = [str(images.labels[index]) for index in chosen[:_MOST]]
    return Slide(
        key="digits",
        title=f"The task: which {kind} is it? {len(images.labels):,} test images",
        parts=(
            Picture(
                "digits",
                "Test images with their labels",
                partial(digits.grid, images.images[chosen[:_MOST]], titles),
            ),
        ),
        notes=("The first test images of each class; no model has seen them in training.",),
    )


def wrong_in_all(learned: dict[str, Learned], images: Images) -> NDArray[np.bool_]:
    """(n,) whether an image is predicted wrongly by every backend."""
    wrong = [of_backend.classes != images.labels for of_backend in learned.values()]
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
    several = len(learned) > 1
    starred = in_all & several
    titles = [f"{images.labels[i]} → {first.classes[i]}{'*' if starred[i] else ''}" for i in chosen]
    colours = [BAD if wrong[i] else GOOD for i in chosen]
    title = f"{name} gets {int(wrong.sum()):,} of {len(wrong):,} test images wrong"
    if several:
        title += f"; {int(in_all.sum()):,} of them in all {len(learned)} backends"
    star = f" *: wrong in all {len(learned)} backends." if several else ""
    wrongs = ", ".join(
        f"{backend_name} {int((model.classes != images.labels).sum()):,}"
        for backend_name, model in learned.items()
    )
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
        notes=(f"Wrong images: {wrongs}. All backends began with the same weights (one seed).",),
    )


def _some(chosen: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """The indices of the chosen images, or `most` evenly spread ones if there are more."""
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
    """The most frequent mistake as (label, prediction, number); several if numbers are equal."""
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    most = int(mistakes.max())
    return [(int(a), int(b), most) for a, b in np.argwhere(mistakes == most)] if most else []


def _confusion(name: str, learned: dict[str, Learned], images: Images, kind: str) -> Slide:
    backend, first = next(iter(learned.items()))
    counts = confusion_of(first, images)
    worst = most_confused(counts)
    title = f"Which {kind} is taken for which"
    if len(worst) == 1:
        label, predicted, times = worst[0]
        title = f"Most often a {label} is taken for a {predicted}: {times} times"
    return Slide(
        key="confusion",
        title=title,
        parts=(Picture("confusion", "The confusion matrix", partial(digits.confusion, counts)),),
        notes=(f"{name} in {backend}, one seed.",),
    )


def _templates(results: Results) -> Slide | Missing:
    """The weights of a model with one layer, as images."""
    for name in results.workloads:
        workload, learned = results.workload(name), results.learned(name)
        layers = [type(layer) for layer in workload.layers]
        if learned and layers == [Flatten, Dense] and workload.input.shape[2] == 1:
            break
    else:
        reason = "no weights of a model with one layer are kept"
        return Missing("templates", reason, run_hint(results, "softmax"))
    backend, first = next(iter(learned.items()))
    shape, kind = workload.input.shape, thing(results, name)
    if first.filters.shape[:-1] != (shape[0] * shape[1],):
        return Missing("templates", f"the kept weights of {name} are not those of its layer")
    weights = first.filters.astype(np.float32).T.reshape(-1, *shape[:2])
    titles = [str(number) for number in range(len(weights))]
    return Slide(
        key="templates",
        title=f"The weights of {name}, one picture per {kind}",
        parts=(
            Picture(
                "templates",
                f"The weights of {name} as images",
                partial(digits.signed_grid, weights, titles, columns=-(-len(weights) // 2)),
            ),
        ),
        text=f"Blue: ink here speaks for the {kind}. Red: against it.",
        notes=(f"{backend}, one seed, {results.rows(name)[0]['epochs']} epochs.",),
    )


def _filters(results: Results) -> Slide | Missing:
    """The filters of the first convolution; the largest ones, if there are several models."""
    models = [
        (layer.kernel_size, name)
        for name in results.workloads
        if isinstance(layer := results.workload(name).layers[0], Conv2d) and results.learned(name)
    ]
    if not models:
        return Missing("filters", "no weights of a CNN are kept", run_hint(results, "cnn"))
    (height, width), name = max(models)
    backend, first = next(iter(results.learned(name).items()))
    if first.filters.ndim != 4 or first.filters.shape[:2] != (height, width):  # noqa: PLR2004 - axes
        return Missing("filters", f"the kept weights of {name} are not those of its first layer")
    weights = np.moveaxis(first.filters.astype(np.float32).mean(axis=2), -1, 0)
    return Slide(
        key="filters",
        title=f"The first layer of {name}: {len(weights)} filters of {height} x {width} weights",
        parts=(
            Picture(
                "filters",
                "The filters of the first convolution",
                partial(digits.signed_grid, weights, (), columns=min(len(weights), 8)),
            ),
        ),
        text="Blue: positive, red: negative.",
        notes=(f"{backend}, one seed.",),
    )
