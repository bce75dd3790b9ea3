"""Records of seven backends, of which one is wrong."""

from __future__ import annotations

from msgspec.structs import replace

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
    """A record of four epochs whose first has a loss and whose last an accuracy."""
    status, data = changes.pop("status", "ok"), changes.pop("data", "d")
    machine = changes.pop("machine", "m")
    made = make_record(
        key or backend,
        accuracies=(0.5, 0.5, 0.5, accuracy),
        status=status,
        data=data,
        backend=backend,
        **changes,
    )
    epochs = tuple(replace(epoch, running_loss=loss) for epoch in made.epochs)
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
