"""Backends that take a known amount of memory at a known time.

Each is otherwise the reference.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from msgspec.structs import replace

from backends.contract import DeviceMemory
from backends.reference.oracle import Reference

MB = 1_000_000


class TakesAndGivesBack(Reference):
    """It takes 150 MB in the second epoch's training and 60 MB in every prediction."""

    epochs = 0

    def train_epoch(self, order, masks=None):
        self.epochs += 1
        take((150 if self.epochs == 2 else 0) * MB)
        return super().train_epoch(order[:64], masks)

    def predict(self, images):
        take(60 * MB)
        return super().predict(images)


def take(size):
    taken = bytearray(b"x") * size  # written, so that it is resident
    del taken


class Allocates(Reference):
    """An allocator whose peak can be reset, or cannot.

    It takes 500 bytes to load, 70 per training and 900 per prediction.
    """

    anew, peak = True, 0

    def load(self, images, labels):
        self.peak = 500
        super().load(images, labels)

    def train_epoch(self, order, masks=None):
        self.peak = max(self.peak, 70)
        return super().train_epoch(order[:64], masks)

    def predict(self, images):
        self.peak = max(self.peak, 900)
        return super().predict(images)

    def device_memory(self):
        peak, self.peak = self.peak, 0 if self.anew else self.peak
        return DeviceMemory(allocator_peak_bytes=peak, began_anew=self.anew)


class AllocatesForGood(Allocates):
    anew = False


class TellsItsFolders(Reference):
    """Its settings are the folders in which PyTorch and CUDA keep compiled code."""

    def settings(self):
        temporary, cuda = tempfile.gettempdir(), os.environ["CUDA_CACHE_PATH"]
        is_there = Path(temporary).is_dir()
        return {**super().settings(), "temporary": temporary, "cuda": cuda, "is there": is_there}


class OnAnyDevice(Reference):
    """It computes on the CPU, whatever device the bench gives it."""

    def __init__(self, job):
        super().__init__(replace(job, device="cpu"))
