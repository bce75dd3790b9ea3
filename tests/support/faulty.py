"""Backends that end in every way a job can end; each is the reference but for its fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
from msgspec.structs import replace

from backends.contract import Unsupported
from backends.reference.engine import ReferenceEngine
from backends.reference.oracle import Reference


class Raises(Reference):
    def train_epoch(self, order, masks=None):
        raise ValueError(f"the framework says no to {len(order)} examples")


class CannotBuild(Reference):
    def __init__(self, job):
        raise Unsupported(f"no {job.precision} here")


class Diverges(Reference):
    def train_epoch(self, order, masks=None):
        return float("nan")


class DivergesUnseen(Reference):
    """A finite running loss, and weights that are not."""

    def train_epoch(self, order, masks=None):
        loss = super().train_epoch(order, masks)
        self._layers[-1].weights["bias"][0] = np.nan
        return loss


class RunsOutOfMemory(Reference):
    def train_epoch(self, order, masks=None):
        np.ones((10**9, 10**9))  # 8 exabytes
        return 0.0


class _InTheSecondEpoch(Reference):
    epochs = 0

    def train_epoch(self, order, masks=None):
        self.epochs += 1
        if self.epochs == 2:
            self.fault()
        return super().train_epoch(order, masks)


class IsKilled(_InTheSecondEpoch):
    def fault(self):
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


class Segfaults(_InTheSecondEpoch):
    def fault(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class Exits(_InTheSecondEpoch):
    def fault(self):
        print("the library calls exit", flush=True)
        os._exit(7)


class Hangs(_InTheSecondEpoch):
    """With a helper process that must not survive it; its number is in the log."""

    def fault(self):
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(f"helper {helper.pid}", flush=True)
        time.sleep(600)


class Slow(Reference):
    """Half a second an epoch: long enough to be interrupted."""

    def train_epoch(self, order, masks=None):
        time.sleep(0.5)
        return super().train_epoch(order[:64], masks)


class ReadsTooFew(Reference):
    """In native mode: an input pipeline that drops a batch."""

    def __init__(self, job):
        super().__init__(replace(job, mode="matched"))

    def read_inputs(self):
        return 3900


class TakesATenthLonger(Reference):
    """No fault: a planted slowdown that comparisons have to find. A tenth more steps; spinning would overshoot."""

    def train_epoch(self, order, masks=None):
        return super().train_epoch(np.append(order, order[: len(order) // 10]))


class SkipsTheProduct(ReferenceEngine):
    """Engines that report more than was done: here nothing is multiplied."""

    def matmul(self, kernel):
        return lambda x: x


class RemembersTheProduct(ReferenceEngine):
    """As a cache, or a compiler that took the argument for a constant."""

    def matmul(self, kernel):
        kept, product = [], super().matmul(kernel)

        def step(x):
            kept[:] = kept or [product(x)]
            return kept[0]

        return step


class MultipliesHalf(ReferenceEngine):
    def matmul(self, kernel):
        half = len(kernel) // 2
        return lambda x: np.concatenate([x[:half] @ kernel, x[half:]])


class SkipsTheConvolution(ReferenceEngine):
    def convolution(self, kernel):
        return lambda x: x * 1.01


class SkipsTheSum(ReferenceEngine):
    def accumulate(self, term):
        return lambda x: x


class SkipsEverySecondSum(ReferenceEngine):
    def accumulate(self, term):
        calls, add = [0], super().accumulate(term)

        def step(x):
            calls[0] += 1
            return add(x) if calls[0] % 2 else x

        return step


class EngineRaises(ReferenceEngine):
    def convolution(self, kernel):
        raise ValueError("no convolution here")


class EngineIsKilled(ReferenceEngine):
    def matmul(self, kernel):
        os.kill(os.getpid(), signal.SIGKILL)


class EngineCannot(ReferenceEngine):
    def __init__(self, job):
        raise Unsupported(f"no {job.device} here")


class HasNoGradients(Reference):
    """As a compiled backend once had in front of a max-pool: every step is made, and no weight moves."""

    def train_epoch(self, order, masks=None):
        weights, losses = self.get_weights(), []
        for start in range(0, len(order), self._job.batch_size):
            losses.append(super().train_epoch(order[start : start + self._job.batch_size]))
            self.set_weights(weights)
        return float(np.mean(losses))


class _TellsWrongly(Reference):
    """A worker whose code is wrong: `told` replaces what it tells of an epoch."""

    def load(self, images, labels):
        super().load(images, labels)
        worker = sys.modules["__main__"]
        epoch = worker.Run.epoch

        def wrong(run, backend, number):
            for told in self.told(number):
                epoch(run, backend, told)

        worker.Run.epoch = wrong


class TellsTwice(_TellsWrongly):
    def told(self, number):
        return (number, number)


class TellsNothing(_TellsWrongly):
    def told(self, number):
        return ()
