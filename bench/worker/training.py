"""Runs one job in one process.

It is started as `python -m bench.worker.training assignment.json lines.jsonl START`. It writes a
line as soon as a step is done, so that the lines of a worker that dies are not lost. The parent
makes the record from them.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
from msgspec import Struct

from backends.contract import (
    PREDICTION_BATCH,
    Backend,
    DeviceMemory,
    Images,
    Job,
    Logits,
    NativeBackend,
    Order,
    Unsupported,
    Weights,
)
from bench.worker import clock, energy, examples
from bench.worker.adapter import load_class
from bench.worker.grading import grade
from bench.worker.lines import End, Epoch, Line, Startup, Status, line_of
from bench.worker.tell import one_line
from specs.initial import epoch_order, initial_weights
from specs.shapes import infer_shapes

# The types of frameworks' errors when memory runs out. PyTorch's CPU allocator raises a plain
# RuntimeError with the text below.
_OUT_OF_MEMORY_TYPES = frozenset({"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"})
_OUT_OF_MEMORY_TEXT = "can't allocate memory"
# The most bytes that a layer may read and write in one call to predict. 1,000 images, the batch of
# the backends, take fewer in every model for images of MNIST's size; 1,000 images of 224x224 take
# 26 GB in a layer of 64 filters.
_PREDICTION_BYTES = 10**9


class Assignment(Struct, frozen=True, kw_only=True):
    """What a worker is told to do.

    Attributes:
        adapter: "module:Class".
        data: the folder of the data set's arrays.
        train_evaluated: how many training examples are evaluated after every epoch.
        gpu: the UUID of the job's NVIDIA GPU; "" if it has none.
        package: see `bench.worker.adapter.load_class`.
    """

    job: Job
    adapter: str
    data: str
    train_evaluated: int
    gpu: str = ""
    package: str = ""


class Diverged(Exception):  # noqa: N818 - not an error of the program: one of the ends of a job
    """A loss or a logit is not finite."""


class Run:
    """A job that is running: its backend, its training data and its test data."""

    def __init__(self, assignment: Assignment, tell: Callable[[Line], None]) -> None:
        self._job, self._tell = assignment.job, tell
        self._meter, self._host_meter = energy.meters(self._job.device, assignment.gpu)
        self._clock = clock.Clock(meter=self._meter, host_meter=self._host_meter)
        self._images, self._labels = examples.read_part(Path(assignment.data), "train")
        self._test_images, self._test_labels = examples.read_part(Path(assignment.data), "test")
        self._evaluated = min(assignment.train_evaluated, len(self._labels))
        self._adapter, self._package = assignment.adapter, assignment.package
        largest = max(shape.forward_bytes for shape in infer_shapes(assignment.job.workload))
        self._predicted_at_once = max(1, _PREDICTION_BYTES // largest)
        self.backend: Backend | None = None
        self.device_memory: DeviceMemory | None = None

    def start(self) -> Backend:
        """Import, build and load the backend, each as a phase of its own; return the backend."""
        imported, adapter = clock.measure(
            "import", lambda: load_class(self._adapter, self._package), clock.no_wait, self._clock
        )
        weights = initial_weights(self._job.workload, self._job.seed)

        def build() -> Backend:
            made: Backend = adapter(self._job)
            if self._job.mode == "matched":
                made.set_weights(weights)
            return made

        built, backend = clock.measure("build", build, clock.no_wait, self._clock)
        self.backend = backend
        loaded, _ = clock.measure(
            "load", lambda: backend.load(self._images, self._labels), backend.sync, self._clock
        )
        startup = Startup(
            phases=(imported, built, loaded),
            weights_checksum=_checksum(backend.get_weights()),
            settings=dict(backend.settings()),
            train_evaluated=self._evaluated,
            energy=self._meter.counter,
            host_energy=None if self._job.device == "cpu" else self._host_meter.counter,
        )
        self._tell(startup)
        return backend

    def epoch(self, backend: Backend, number: int) -> None:
        """Train one epoch and predict the test set, both measured; then grade.

        Raises:
            Diverged: a loss or a logit is not finite. No line is written for such an epoch, as it
                has no numbers.
        """
        order = self._order(number - 1)
        backend.device_memory()  # resets its peak, if the framework can
        trained, loss = clock.measure(
            "train", lambda: backend.train_epoch(order), backend.sync, self._clock
        )
        self.device_memory = _peak_of_training(self.device_memory, backend.device_memory())
        predicted, logits = clock.measure(
            "predict", lambda: self._predict(backend, self._test_images), backend.sync, self._clock
        )
        seen = self._predict(backend, self._images[: self._evaluated])
        loss_name = self._job.workload.loss
        test_loss, test_accuracy = grade(logits, self._test_labels, loss_name)
        train_loss, train_accuracy = grade(seen, self._labels[: self._evaluated], loss_name)
        if not all(map(math.isfinite, (loss, test_loss, train_loss))):
            raise Diverged(f"epoch {number}: running loss {loss}, test loss {test_loss}")
        matched = self._job.mode == "matched"
        order_checksum = hashlib.sha256(order.tobytes()).hexdigest()[:16] if matched else "own"
        self._tell(
            Epoch(
                number=number,
                training=trained,
                prediction=predicted,
                running_loss=loss,
                test_loss=test_loss,
                test_accuracy=test_accuracy,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                order_checksum=order_checksum,
            )
        )

    def _predict(self, backend: Backend, images: Images) -> Logits:
        """The logits (n, classes), predicted in calls that need at most `_PREDICTION_BYTES`."""
        size = self._predicted_at_once
        if size >= PREDICTION_BATCH:
            return backend.predict(images)
        return np.concatenate(
            [backend.predict(images[start : start + size]) for start in range(0, len(images), size)]
        )

    def read_inputs(self, backend: Backend) -> clock.Phase | None:
        """Measure an epoch of a native backend's own input pipeline, without training.

        Returns:
            The phase; None in matched mode.

        Raises:
            ValueError: the pipeline did not read as many examples as an epoch has.
        """
        if self._job.mode == "matched":
            return None
        native, expected = cast("NativeBackend", backend), len(self._order(0))
        phase, read = clock.measure("inputs", native.read_inputs, backend.sync, self._clock)
        if read != expected:
            raise ValueError(f"the input pipeline read {read} examples instead of {expected}")
        return phase

    def _order(self, epoch: int) -> Order:
        return epoch_order(
            self._job.workload, self._job.seed, epoch, len(self._labels), self._job.batch_size
        )


def main(assignment_path: str, lines_path: str, start: str) -> None:
    """Do the assignment and write its lines; the last one is an `End`, unless the process dies.

    Args:
        assignment_path: the file of an `Assignment`, in JSON.
        lines_path: the file that the lines are written to.
        start: see `bench.worker.lines.line_of`.
    """
    assignment = msgspec.json.decode(Path(assignment_path).read_bytes(), type=Assignment)
    with Path(lines_path).open("ab", buffering=0) as file:

        def tell(line: Line) -> None:
            file.write(line_of(start, line))

        _attempt(assignment, tell)


def _attempt(assignment: Assignment, tell: Callable[[Line], None]) -> None:
    status: Status = "ok"
    reason, details, run, inputs = "", "", None, None
    parent = os.getppid()
    try:
        run = Run(assignment, tell)
        backend = run.start()
        for number in range(1, assignment.job.epochs + 1):
            if os.getppid() != parent:
                return  # the parent has ended: nobody reads our lines
            run.epoch(backend, number)
        inputs = run.read_inputs(backend)
    except Unsupported as error:
        status, reason = "unsupported", str(error)
    except Diverged as error:
        status, reason = "diverged", str(error)
    except Exception as error:  # noqa: BLE001 - whatever a framework raises, the job's end is a record
        status = "out of memory" if _is_out_of_memory(error) else "failed"
        reason, details = one_line(error), traceback.format_exc()
    tell(
        End(
            status=status,
            reason=reason,
            traceback=details,
            cpu_seconds=clock.cpu_seconds(),
            device_memory=run.device_memory if run else None,
            inputs=inputs,
        )
    )


def _is_out_of_memory(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & _OUT_OF_MEMORY_TYPES) or _OUT_OF_MEMORY_TEXT in str(error)


def _peak_of_training(before: DeviceMemory | None, now: DeviceMemory | None) -> DeviceMemory | None:
    """The larger of two epochs' peaks; the first one if the framework cannot reset its peak.

    A peak that was not reset includes the prediction after the first epoch.
    """
    if before is None or now is None:
        return before or now
    if not now.began_anew:
        return before
    return max(before, now, key=lambda memory: memory.allocator_peak_bytes)


def _checksum(weights: Weights) -> str:
    digest = hashlib.sha256()
    for name, value in weights.items():
        digest.update(name.encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main(*sys.argv[1:])
