"""Arguments that several tests of the command give."""

from __future__ import annotations

QUICK = (
    "softmax",
    "--device",
    "cpu",
    "--backend",
    "reference",
    "--dataset",
    "mnist-5k",
    "--epochs",
    "2",
    "--batch-size",
    "500",
)
