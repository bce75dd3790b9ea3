"""Records of seven backends, of which one is wrong, and of jobs that were verified."""

from __future__ import annotations

from msgspec.structs import replace

from bench.worker.lines import JobVerification
from tests.support.records import make_record

# What seven backends reported of `cnn` on full MNIST, the last with gradients of zero in front of
# the max-pool.
LOSSES = {
    "a": 0.2187,
    "b": 0.2194,
    "c": 0.2199,
    "d": 0.2205,
    "e": 0.2231,
    "f": 0.2260,
    "wrong": 0.4317,
}
ACCURACIES = {
    "a": 0.9865,
    "b": 0.9867,
    "c": 0.9869,
    "d": 0.9874,
    "e": 0.9879,
    "f": 0.9888,
    "wrong": 0.9598,
}


def result(backend, *, loss=0.22, accuracy=0.98, key=None, images=10_000, **changes):
    """A record of four epochs of `cnn`: the first has this loss, the last this accuracy.

    The loss falls; at the same epoch it is as far from that of another record as at the first.
    """
    status, data = changes.pop("status", "ok"), changes.pop("data", "d")
    machine = changes.pop("machine", "m")
    made = make_record(
        key or backend,
        accuracies=(0.5, 0.5, 0.5, accuracy),
        status=status,
        data=data,
        backend=backend,
        **{"workload": "cnn", **changes},
    )
    epochs = tuple(replace(epoch, running_loss=loss / epoch.number) for epoch in made.epochs)
    return replace(
        made,
        epochs=epochs,
        data=replace(made.data, test_examples=images),
        machine=replace(made.machine, name=machine),
        adapter_checksum="a",
    )


def run_of_seven(**changes):
    return [
        result(name, loss=LOSSES[name], accuracy=ACCURACIES[name], **changes) for name in LOSSES
    ]


def verified(record, **deviations):
    """The record of a job whose own verification found these deviations, in tolerances."""
    found = JobVerification(
        method="exact", steps=3, partial_batch=0, deviations=deviations, tries=1, seconds=0.1
    )
    return replace(record, verification=found)
