"""A PyTorch that trains a twentieth more steps, and is right."""

from __future__ import annotations

from backends.pytorch.eager import PyTorch


class TrainsALittleMore(PyTorch):
    """A planted slowdown that comparisons have to find.

    The additional steps train a second model, so that the first one passes its verification. A
    busy loop would be inexact.
    """

    def __init__(self, job):
        super().__init__(job)
        self._second = PyTorch(job)

    def load(self, images, labels):
        super().load(images, labels)
        self._second.load(images, labels)

    def set_weights(self, weights):
        super().set_weights(weights)
        self._second.set_weights(weights)

    def train_epoch(self, order, masks=None):
        self._second.train_epoch(order[: len(order) // 20])
        return super().train_epoch(order, masks)
