"""Makes the sections that consist of a chart."""

from __future__ import annotations

from bench.report.chart import results, training
from bench.report.form.blocks import Block, Chart, Folded
from bench.report.run import Run


def speed(run: Run) -> list[Block]:
    """Epoch times relative to the fastest backend."""
    return _block(results.speed(run))


def accuracy(run: Run) -> list[Block]:
    """Test accuracies with their intervals."""
    return _block(results.accuracy(run))


def time_to_accuracy(run: Run) -> list[Block]:
    """Test accuracy against seconds."""
    return _block(training.time_to_accuracy(run))


def curves(run: Run) -> list[Block]:
    """Accuracy and loss over epochs, folded."""
    blocks = _block(training.curves(run))
    return [Folded("Accuracy and loss over epochs", blocks)] if blocks else []


def memory(run: Run) -> list[Block]:
    """Peak memory."""
    return _block(results.memory(run))


def start_up(run: Run) -> list[Block]:
    """Seconds before the first epoch, and (folded) the epochs until break-even."""
    break_even = _block(training.break_even(run))
    folded: list[Block] = (
        [Folded("After how many epochs does a slow start pay off?", break_even)]
        if break_even
        else []
    )
    return [*_block(results.start_up(run)), *folded]


def _block(chart: Chart | None) -> list[Block]:
    return [] if chart is None else [chart]
