"""Backends for every way in which a job can end; each is the reference except for its fault."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from backends.contract import Unsupported
from backends.far.far import Far
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
    """Its running loss is finite, but its weights are not."""

    def train_epoch(self, order, masks=None):
        loss = super().train_epoch(order, masks)
        self._layers[-1].weights["bias"][0] = np.nan
        return loss


class CannotReset(Reference):
    def reset(self, weights):
        raise RuntimeError("no way back")


class TrainsTooSlowly(Reference):
    """Its steps are a tenth too short; nothing else tells."""

    def __init__(self, job):
        optimizer = job.workload.optimizer
        slower = replace(optimizer, learning_rate=0.9 * optimizer.learning_rate)
        super().__init__(replace(job, workload=replace(job.workload, optimizer=slower)))


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
    """It has a helper process that must not survive it, and whose id is in the log."""

    def fault(self):
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(f"helper {helper.pid}", flush=True)
        time.sleep(600)


class Slow(Reference):
    """An epoch takes half a second, long enough to be interrupted."""

    def train_epoch(self, order, masks=None):
        time.sleep(0.5)
        return super().train_epoch(order[:64], masks)


class SlowerThanALook(Reference):
    """The parent looks at the worker several times in an epoch."""

    def train_epoch(self, order, masks=None):
        time.sleep(1.2)
        return super().train_epoch(order[:64], masks)


class WaitsBusily(Reference):
    """A thread of it computes half of the time, also while the process waits."""

    def load(self, images, labels):
        super().load(images, labels)
        threading.Thread(target=self._compute, daemon=True).start()

    def _compute(self):
        while True:
            until = time.process_time() + 0.02
            while time.process_time() < until:
                pass
            time.sleep(0.02)


class DiesInTurns(Reference):
    """It dies in its third training after the verification."""

    trained = 0

    def reset(self, weights):
        super().reset(weights)
        # A verification resets at most four times, and a turn twice.
        self.trained += 1
        if self.trained > 7:
            os._exit(3)


class NeedsToBeAlone(Reference):
    """It has too little memory while another worker of the same parent is alive."""

    def train_epoch(self, order, masks=None):
        import psutil

        mine = os.getpid()
        others = psutil.Process(os.getppid()).children()
        if any("start.py" in str(o.cmdline()) for o in others if o.pid != mine):
            raise MemoryError
        return super().train_epoch(order, masks)


class ReadsTooFew(Reference):
    """Its input pipeline in native mode drops a batch."""

    def __init__(self, job):
        super().__init__(replace(job, mode="matched"))

    def read_inputs(self):
        return 3900


class SkipsTheProduct(ReferenceEngine):
    """An engine that reports more than it did: it multiplies nothing."""

    def matmul(self, kernel):
        return lambda x: x


class RemembersTheProduct(ReferenceEngine):
    """It returns an earlier product, like a cache, or a compiler that takes data as constants."""

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


class HasNoConvolution(ReferenceEngine):
    def convolution(self, kernel):
        raise Unsupported("no convolution")


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
    """It makes every step, but no weight changes.

    A compiled backend once had this defect in front of a max-pool.
    """

    def train_epoch(self, order, masks=None):
        weights, losses = self.get_weights(), []
        for start in range(0, len(order), self._job.batch_size):
            losses.append(super().train_epoch(order[start : start + self._job.batch_size]))
            self.set_weights(weights)
        return float(np.mean(losses))


class _TellsWrongly(Reference):
    """A worker whose code is wrong: it tells each line of an epoch `times` times."""

    times = 1

    def load(self, images, labels):
        super().load(images, labels)
        worker = sys.modules["bench.worker.training"]
        epoch = worker.Run.epoch

        def wrong(run, backend, number, tell, per_call):
            epoch(
                run,
                backend,
                number,
                lambda line: [tell(line) for _ in range(self.times)],
                per_call,
            )

        worker.Run.epoch = wrong


class TellsTwice(_TellsWrongly):
    times = 2


class TellsNothing(_TellsWrongly):
    times = 0


class IsInNativeCode(Reference):
    """Its epoch is one call of a library, in which no other thread of Python runs."""

    def train_epoch(self, order, masks=None):
        print("in the epoch", flush=True)
        ctypes.PyDLL(None).sleep(600)
        return 0.0


class HasAHelperOfItsOwn(Reference):
    """Its helper is in a session of its own, and its process ID is in the log."""

    def train_epoch(self, order, masks=None):
        code = "import time; time.sleep(600)"
        helper = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        print(f"helper {helper.pid}", flush=True)
        self.go_on()
        return 0.0

    def go_on(self):
        time.sleep(600)


class HangsInAnotherPython(Far):
    """As the frameworks that are too old for a worker do."""

    near, environment = "tests.support.near_softmax:Hangs", "old"

    def __init__(self, job):
        super().__init__(job, sys.executable)

    def train_epoch(self, order, masks=None):
        print("in the epoch", flush=True)
        return super().train_epoch(order, masks)


class LeavesAHelper(HasAHelperOfItsOwn):
    def go_on(self):
        raise ValueError("the helper goes on")


class EndsByARealTimeSignal(_InTheSecondEpoch):
    def fault(self):
        os.kill(os.getpid(), 40)


class _HasItsLines(_InTheSecondEpoch):
    """It does something to the file of its worker's lines."""

    @property
    def file(self):
        return Path(sys.argv[2])


class TellsWhatIsNoLine(_HasItsLines):
    def fault(self):
        with self.file.open("a") as file:
            file.write("this is no line\n")


class TellsALineWithoutItsKeys(_HasItsLines):
    def fault(self):
        with self.file.open("a") as file:
            file.write(json.dumps({"mark": sys.argv[3], "line": {"type": "inputs"}}) + "\n")


class LosesItsLines(_HasItsLines):
    def fault(self):
        self.file.unlink()


class LosesItsFolder(_HasItsLines):
    def fault(self):
        shutil.rmtree(self.file.parent)


class TellsTooMuch(_HasItsLines):
    def fault(self):
        with self.file.open("a") as file:
            while True:
                file.write("x" * 1000 + "\n")


class EndsOkAtOnce(Reference):
    """Its worker says that all is well, and has done nothing."""

    def load(self, images, labels):
        from bench.worker.lines import End, encode_line

        end = End(status="ok", reason="", traceback="", cpu_seconds=None)
        Path(sys.argv[2]).write_bytes(encode_line(sys.argv[3], end))
        os._exit(0)


class PrintsMuch(_InTheSecondEpoch):
    """Half a gigabyte, in one line and in many; then it is killed."""

    def fault(self):
        part = b"x" * 1_000_000
        for number in range(500):
            os.write(1, part)
            if number > 250:
                os.write(1, b"\n")
        os.write(1, b"the last words\n")
        os.kill(os.getpid(), signal.SIGKILL)
