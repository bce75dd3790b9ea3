"""Command-line arguments that several tests use."""

from __future__ import annotations

QUICK = (
    *("softmax", "--device", "cpu", "--backend", "reference", "--threads", "1"),
    *("--dataset", "mnist-5k", "--epochs", "2", "--batch-size", "500"),
)
