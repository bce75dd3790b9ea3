"""Trains one job in one process, and writes a line as soon as a step is done.

So a worker that dies loses no lines. The parent makes the record from the lines.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median_high
from typing import cast

import msgspec
import numpy as np
from msgspec.structs import replace

from backends.contract import (
    PREDICTION_BATCH,
    Backend,
    DeviceMemory,
    Images,
    Labels,
    Logits,
    NativeBackend,
    Order,
    Weights,
    kind_of,
    steps_per_call,
)
from bench.worker import clock, energy, examples
from bench.worker.adapter import load_adapter
from bench.worker.arrays import checksum, write_arrays
from bench.worker.assignment import Train, TurnCommand
from bench.worker.grading import grade
from bench.worker.learned import keep_learned
from bench.worker.lines import (
    Epoch,
    Inputs,
    JobVerification,
    PeakMemory,
    ShortEpochs,
    Startup,
    Trained,
    Turn,
)
from bench.worker.tell import Diverged, Tell, one_line
from bench.worker.verification.expected import Examples
from bench.worker.verification.training import prediction_deviations, verify_training
from specs.initial import epoch_order, initial_weights
from specs.shapes import infer_shapes

# The most bytes that a layer may read and write in one call to predict. For images of MNIST's size,
# the backends' batch of 1,000 images needs less in every model. 1,000 images of 224x224 need 26 GB
# in a layer of 64 filters.
_PREDICTION_BYTES = 10**9
# The most short epochs, and the seconds after which no further one starts.
_SHORT_EPOCHS, _SHORT_SECONDS = 5, 0.5


def work(assignment: Train, tell: Tell) -> Callable[[Tell], None] | None:
    """Train the job, and report every step of it.

    Returns:
        The function that takes the job's turns; None if it takes none.

    Raises:
        Unsupported: the backend cannot do the job.
        Diverged: a loss or a logit is not finite.
        ValueError: a native input pipeline did not read exactly the examples of an epoch.
    """
    run = Run(assignment)
    backend = run.start(tell)
    if assignment.only_turns:
        return partial(take_turns, run, backend)
    per_call = int(getattr(backend, "epochs_per_call", 1))
    for number in range(per_call, assignment.job.epochs + 1, per_call):
        run.epoch(backend, number, tell, per_call)
    if assignment.job.mode == "native":
        tell(Inputs(phase=run.read_inputs(cast("NativeBackend", backend))))
    weights = run.finish(backend, tell)
    run.verify(backend, weights, tell)
    if assignment.job.mode == "matched" and per_call == 1:
        run.short_epochs(backend, tell)
    return partial(take_turns, run, backend) if assignment.takes_turns else None


def take_turns(run: Run, backend: Backend, tell: Tell) -> None:
    """Take a turn for each `TurnCommand` on standard input, until the input is closed.

    A turn ends when the threads of the framework are at rest, see `clock.rest`.
    """
    clock.rest()
    waits_since, cpu_before = clock.monotonic_seconds(), clock.cpu_seconds()
    for line in sys.stdin.buffer:  # waits without using the CPU
        waited = clock.monotonic_seconds() - waits_since
        waited_cpu = clock.minus(clock.cpu_seconds(), cpu_before)
        command = msgspec.json.decode(line, type=TurnCommand)
        phase = run.turn(backend, command)
        turn = Turn(
            wall_seconds=phase.wall_seconds,
            cpu_seconds=phase.cpu_seconds,
            waited_seconds=waited,
            waited_cpu_seconds=waited_cpu,
        )
        clock.rest()
        tell(turn)
        waits_since, cpu_before = clock.monotonic_seconds(), clock.cpu_seconds()


class Run:
    """A job that is running: its backend, its training data and its test data."""

    def __init__(self, assignment: Train) -> None:
        self._job, self._assignment = assignment.job, assignment
        self._meter, self._host_meter = energy.meters(self._job.device, assignment.gpus)
        self._clock = clock.Clock(meter=self._meter, host_meter=self._host_meter)
        self._images, self._labels = examples.read_part(Path(assignment.data), "train")
        self._test_images, self._test_labels = examples.read_part(Path(assignment.data), "test")
        self._evaluated = min(assignment.train_evaluated, len(self._labels))
        largest = max(shape.forward_bytes for shape in infer_shapes(assignment.job.workload))
        self._predicted_at_once = max(1, _PREDICTION_BYTES // largest)
        self._peaks: list[DeviceMemory] = []
        self._name, self._references = Path(assignment.data).name, Path(assignment.references)
        self._learned, self._weights = assignment.learned, assignment.weights

    def start(self, tell: Tell) -> Backend:
        """Import, build and load the backend, each measured as a phase; return the backend."""
        imported, adapter = clock.measure(
            "import", lambda: load_adapter(self._assignment), clock.no_wait, self._clock
        )
        weights = initial_weights(self._job.workload, self._job.seed)

        def build() -> Backend:
            backend: Backend = adapter(self._job)
            clock.count_others(getattr(backend, "processes", None))
            clock.leave_out(getattr(backend, "transport_seconds", None))
            if self._job.mode == "matched":
                backend.set_weights(weights)
            return backend

        built, backend = clock.measure("build", build, clock.no_wait, self._clock)
        loaded, _ = clock.measure(
            "load", lambda: backend.load(self._images, self._labels), backend.sync, self._clock
        )
        tell(
            Startup(
                phases=(imported, built, loaded),
                weights_checksum=checksum(backend.get_weights()),
                settings=dict(backend.settings()),
                train_evaluated=self._evaluated,
                energy=self._meter.counter,
                host_energy=None
                if kind_of(self._job.device) == "cpu"
                else self._host_meter.counter,
            )
        )
        return backend

    def epoch(self, backend: Backend, number: int, tell: Tell, per_call: int = 1) -> None:
        """Train one epoch and predict the test set, both measured; then grade and tell.

        Args:
            backend: the backend that trains.
            number: the number of the epoch.
            tell: writes a line.
            per_call: how many epochs the backend trains at once; `number` is the last of them.

        Raises:
            Diverged: a loss or a logit is not finite. No line is written for this epoch, as JSON
                has no such numbers.
        """
        order = self._order(number - 1)
        backend.device_memory()  # resets its peak, if the framework can
        trained, loss = clock.measure(
            "train", lambda: backend.train_epoch(order), backend.sync, self._clock
        )
        self._tell_peak(backend.device_memory(), tell)
        predicted, logits = clock.measure(
            "predict", lambda: self._predict(backend, self._test_images), backend.sync, self._clock
        )
        self._logits = logits
        seen = self._predict(backend, self._images[: self._evaluated])
        loss_name = self._job.workload.loss
        test_loss, test_accuracy = grade(logits, self._test_labels, loss_name)
        train_loss, train_accuracy = grade(seen, self._labels[: self._evaluated], loss_name)
        if not all(map(math.isfinite, (loss, test_loss, train_loss))):
            raise Diverged(f"epoch {number}: running loss {loss}, test loss {test_loss}")
        matched = self._job.mode == "matched"
        order_checksum = hashlib.sha256(order.tobytes()).hexdigest()[:16] if matched else "own"
        tell(
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
                predicted_classes=_predicted_classes(logits, self._test_labels),
                epochs=per_call,
            )
        )

    def finish(self, backend: Backend, tell: Tell) -> Weights:
        """The weights after the last epoch; tell their checksum, and keep what was learned."""
        weights = backend.get_weights()
        tell(Trained(weights_checksum=checksum(weights)))
        if self._learned:
            # A picture is not worth losing hours of training; slides say that it is missing.
            with suppress(OSError):
                keep_learned(Path(self._learned), self._logits, weights)
        if self._weights:
            with suppress(OSError):  # likewise; `bench export` says that the weights are missing
                write_arrays(Path(self._weights), weights)
        return weights

    def verify(self, backend: Backend, weights: Weights, tell: Tell) -> None:
        """Verify a job in matched mode; `weights` are those after its last epoch."""
        if self._job.mode != "matched":
            return
        used = Examples(self._images, self._labels, self._name)
        try:
            predicted = prediction_deviations(self._job, weights, self._test_images, self._logits)
            found = verify_training(backend, self._job, used, self._references)
            found = replace(found, deviations={**found.deviations, **predicted})
        except Exception as error:  # noqa: BLE001 - the training must not be lost, and the record has the error
            found = JobVerification(
                method="exact", steps=0, partial_batch=0, not_verified=one_line(error)
            )
        tell(found)

    def short_epochs(self, backend: Backend, tell: Tell) -> None:
        """Train epochs of the partial batch, or of one call if there is none, each measured.

        A failure writes no line, so that hours of training are not lost.
        """
        with suppress(Exception):
            tell(self._short_epochs(backend))

    def _short_epochs(self, backend: Backend) -> ShortEpochs:
        order, partial_batch = self._order(0), len(self._order(0)) % self._job.batch_size
        order = order[-partial_batch:] if partial_batch else order[: self._examples_per_call]
        backend.reset(initial_weights(self._job.workload, self._job.seed))
        backend.train_epoch(order)  # a first call may be slower
        seconds, begin = list[float](), clock.monotonic_seconds()
        while len(seconds) < _SHORT_EPOCHS and clock.monotonic_seconds() < begin + _SHORT_SECONDS:
            phase, _ = clock.measure(
                "short", lambda: backend.train_epoch(order), backend.sync, self._clock
            )
            seconds.append(phase.wall_seconds)
        return ShortEpochs(examples=len(order), wall_seconds=tuple(seconds))

    def turn(self, backend: Backend, command: TurnCommand) -> clock.Phase:
        """Train the slice of a turn, measured.

        Every turn trains the same steps from the initial weights. It begins with a few steps that
        are not measured: while others trained, this process's data left the CPU's caches.
        """
        orders = [self._order(number)[: command.examples] for number in range(command.epochs)]

        def train(orders: list[Order]) -> None:
            for order in orders:
                backend.train_epoch(order)

        weights = initial_weights(self._job.workload, self._job.seed)
        backend.reset(weights)
        train([orders[0][: self._examples_per_call]])
        backend.reset(weights)
        phase, _ = clock.measure("turn", lambda: train(orders), backend.sync, self._clock)
        return phase

    @property
    def _examples_per_call(self) -> int:
        return steps_per_call(self._job, len(self._labels)) * self._job.batch_size

    def _predict(self, backend: Backend, images: Images) -> Logits:
        """The logits (n, classes), predicted in calls that need at most `_PREDICTION_BYTES`."""
        size = self._predicted_at_once
        if size >= PREDICTION_BATCH:
            return backend.predict(images)
        return np.concatenate(
            [backend.predict(images[start : start + size]) for start in range(0, len(images), size)]
        )

    def read_inputs(self, backend: NativeBackend) -> clock.Phase:
        """Measure an epoch of a native backend's own input pipeline, without training.

        Raises:
            ValueError: the pipeline did not read exactly the examples of an epoch.
        """
        expected = len(self._order(0))
        phase, read = clock.measure("inputs", backend.read_inputs, backend.sync, self._clock)
        if read != expected:
            raise ValueError(f"the input pipeline read {read} examples instead of {expected}")
        return phase

    def _tell_peak(self, memory: DeviceMemory | None, tell: Tell) -> None:
        """Tell the allocator's peak after an epoch's training if it is known, and has changed."""
        if memory is None:
            return
        before = _peak_of_training(self._peaks) if self._peaks else None
        self._peaks.append(memory)
        peak = _peak_of_training(self._peaks)
        if peak != before:
            tell(PeakMemory(peak=peak))

    def _order(self, epoch: int) -> Order:
        return epoch_order(
            self._job.workload, self._job.seed, epoch, len(self._labels), self._job.batch_size
        )


def _predicted_classes(logits: Logits, labels: Labels) -> int:
    """How many classes are predicted at least once, or are the label of no image."""
    classes = logits.shape[1]
    predictions = np.bincount(logits.argmax(axis=1), minlength=classes)
    return int(np.count_nonzero((predictions > 0) | (np.bincount(labels, minlength=classes) == 0)))


def _peak_of_training(peaks: Sequence[DeviceMemory]) -> DeviceMemory:
    """The peak of a training of one or more epochs, see `DeviceMemory`.

    The first epoch's peak includes the memory that autotuners try and give back. A peak that was
    not reset includes the prediction after the first epoch.
    """
    first, *later = peaks
    if not later or not later[0].began_anew:
        return first
    return replace(
        first,
        allocator_peak_bytes=median_high(peak.allocator_peak_bytes for peak in later),
        first_epoch_bytes=first.allocator_peak_bytes,
    )
