"""Runs one worker process: sets its variables, CPUs and GPU, and kills its process group.

A worker (`bench.worker.start`) reads an assignment and writes lines; the last one is an `End`. It
ends with this process: see `bench.worker.start` and `bench.machine.guard`. Start it in the main
thread, as Linux kills it when the thread that started it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Self

import msgspec

from backends.contract import kind_of
from bench.machine import guard
from bench.machine.device import DevicesWatch
from bench.machine.host import Machine, gpus_of, job_cpus
from bench.machine.temporary import TemporaryFolder, remove_abandoned
from bench.machine.watch import Watch
from bench.records.files import RunError, write_atomically
from bench.runner.environments import cache_folder, inherited_by
from bench.runner.output import LineReader, cut_log, tail_of
from bench.runner.task import Files, Task, WorkerResult, files_of
from bench.runner.variables import THREADS
from bench.worker import start
from bench.worker.assignment import Train, TurnCommand
from bench.worker.clock import monotonic_seconds, pause, utc
from bench.worker.lines import End, Line, Status, Turn

# The parent checks the worker at this interval. Without a GPU a check takes about 0.2 ms, far less
# than 1 % of a core.
_CHECK_SECONDS = 0.5
_FIRST_CHECK_SECONDS = 0.05  # so that a very short job need not wait for 0.5 s
_TURN_CHECK_SECONDS = 0.02  # a turn takes 0.5 to 2 s
_EXIT_SECONDS = 10.0  # the time that a worker has to exit after its `End`
# If a check is late by more than this, this process was suspended: the time beyond it does not
# count.
_LATE_SECONDS = 1.0
# The kind of a job's device -> the platforms that JAX looks for. On others JAX finds its plug-in.
_JAX_PLATFORMS = {"cpu": "cpu", "cuda": "cuda,cpu"}


class Worker:
    """A worker process, from its start to its end. After its `End` it may take turns.

    Use it in a `with` statement, or call `close`: it kills the process and its helpers.
    """

    def __init__(
        self, task: Task, folder: Path, machine: Machine, waiting: Sequence[Worker] = ()
    ) -> None:
        """Start the worker of a task.

        Args:
            task: the task.
            folder: the folder of the worker's files, see `files_of`; lines and log are kept.
            machine: this machine.
            waiting: other workers of this process, which are alive and wait.

        Raises:
            RunError: a file cannot be written, or the interpreter cannot be started.
        """
        self.task, self._mark, self._files = task, uuid.uuid4().hex, files_of(task, folder)
        remove_abandoned()
        mark = guard.mark_of(self._mark)
        self._started, self._start_seconds = utc(), monotonic_seconds()
        gpus = gpus_of(machine, task.job.device)
        others = [worker.pid for worker in waiting]
        # Created before the worker starts, so that it knows the memory that is already in use.
        self._gpu_watch = DevicesWatch([gpu.uuid for gpu in gpus], others)
        cpus = job_cpus(task.job.threads, gpus[0] if gpus else None)
        self._watch = Watch(cpus, self._gpu_watch, others)
        self._turns, self._waits = 0, False
        # New for each worker and removed afterwards: TorchInductor keeps hundreds of MB of compiled
        # code in it, which would also speed up the next job's compilation.
        self._temporary = TemporaryFolder()
        variables = {
            **_variables(task, machine),
            "TMPDIR": str(self._temporary.path),
            # CUDA's driver keeps compiled code there, which would speed up the next job.
            "CUDA_CACHE_PATH": str(self._temporary.path / "cuda"),
            guard.VARIABLE: mark,
        }
        with ExitStack() as undo:  # cleans up after any failure, such as a full disk
            undo.callback(self._temporary.remove)
            undo.callback(self.remove_files)
            undo.callback(self._files.assignment.unlink, missing_ok=True)
            write_atomically(self._files.assignment, msgspec.json.encode(task.assignment))
            write_atomically(self._files.lines, b"")
            self._files.log.unlink(missing_ok=True)
            self._reader = LineReader(self._files.lines, self._mark, task.job.epochs)
            undo.callback(self._reader.close)
            with self._files.log.open("ab") as output:  # appends, so that the log can be cut
                self._process = _start(task, self._files, self._mark, variables, cpus, output)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The ID of the process, which is also that of its group and session."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def result(self, timeout: float, on_lines: Callable[[list[Line]], None]) -> WorkerResult:
        """Wait for the worker's `End`, and close it unless it takes turns.

        Args:
            timeout: a worker that writes no line for this many seconds is killed.
            on_lines: is called with all lines so far if there are new ones.

        Raises:
            KeyboardInterrupt: the worker was killed.
        """
        try:
            timed_out = self._wait(timeout, on_lines)
        except BaseException:
            self.close()
            raise
        self._reader.read()
        wall_seconds = monotonic_seconds() - self._start_seconds
        self._waits = stays = takes_turns(self.task) and self.is_alive and _is_ok(self._reader.end)
        if not stays:
            self.close()
        end = self._reader.end or _missing_end(
            self._process.returncode, timeout if timed_out else None, self._files.log
        )
        return WorkerResult(
            lines=self._reader.lines,
            end=end,
            started=self._started,
            wall_seconds=wall_seconds,
            peak=self._gpu_watch.peak,
            gpu=self._gpu_watch.state,
            disturbance=self._watch.end([self.pid] if stays else []),
            dropped=inherited_by(Path(self.task.python)).dropped,
        )

    def turn(self, command: TurnCommand, timeout: float) -> Turn | None:
        """Let a worker that waits take a turn; None if it died or took longer than `timeout`."""
        if self._process.stdin is None:
            return None
        self._waits = False
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(command) + b"\n")
            self._process.stdin.flush()
        self._turns += 1
        watched = _Watched()
        while self.is_alive and watched.seconds < timeout:
            watched.pause(_TURN_CHECK_SECONDS)
            cut_log(self._files.log)
            if self._reader.read():
                turns = [line for line in self._reader.lines if isinstance(line, Turn)]
                if len(turns) == self._turns:
                    self._waits = True
                    return turns[-1]
        return None

    def close(self) -> None:
        """End the worker and its helper processes; wait until the worker has exited.

        A worker that waits for a turn ends by itself when its input is closed, so that its
        framework removes its temporary files. It is killed if that takes too long. Any other worker
        is killed.
        """
        if self._waits and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_SECONDS)
        guard.kill_group(self._process)
        self._process.wait()
        guard.end_marked(guard.mark_of(self._mark))  # helpers in other process groups
        self._reader.close()
        cut_log(self._files.log)
        self._temporary.remove()
        self._files.assignment.unlink(missing_ok=True)
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def remove_files(self) -> None:
        """Remove the worker's lines and log."""
        for file in (self._files.lines, self._files.log):
            file.unlink(missing_ok=True)

    def _wait(self, timeout: float, on_lines: Callable[[list[Line]], None]) -> bool:
        """Wait until a worker has exited or waits for turns; True if it made no progress.

        After its `End` a worker may hang in its framework's threads, so it has only
        `_EXIT_SECONDS`.
        """
        silence, interval = _Watched(), _FIRST_CHECK_SECONDS
        while self.is_alive:
            silence.pause(interval)
            interval = min(2 * interval, _CHECK_SECONDS)
            self._watch.sample()
            self._gpu_watch.sample(self.pid)
            cut_log(self._files.log)
            if self._reader.read():
                silence = _Watched()
                on_lines(self._reader.lines)
                if self._reader.is_full:
                    return False
                if (end := self._reader.end) is not None:
                    if takes_turns(self.task) and _is_ok(end):
                        return False
                    timeout = _EXIT_SECONDS
            if silence.seconds > timeout:
                return True
        return False


class _Watched:
    """Counts seconds from its creation on, except while this process was suspended.

    The worker may have been suspended at the same time.
    """

    def __init__(self) -> None:
        self.seconds, self._last = 0.0, monotonic_seconds()

    def pause(self, seconds: float) -> None:
        """Wait, and count the time since the last wait."""
        pause(seconds)
        now = monotonic_seconds()
        self.seconds += min(now - self._last, seconds + _LATE_SECONDS)
        self._last = now


def takes_turns(task: Task) -> bool:
    """Whether a task's worker stays alive after its `End`."""
    assignment = task.assignment
    return isinstance(assignment, Train) and (assignment.takes_turns or assignment.only_turns)


def _is_ok(end: End | None) -> bool:
    return end is not None and end.status == "ok"


def _missing_end(code: int, timed_out_after: float | None, log: Path) -> End:
    """The `End` for a worker that wrote none, with the last lines of its log."""
    status: Status
    if timed_out_after is not None:
        status, reason = "timeout", f"no sign of progress for {timed_out_after:g} s"
    elif code < 0:
        status, reason = "killed", f"signal {_signal_name(-code)}"
        if -code == signal.SIGKILL:
            reason += ": sent by a person, by a scheduler, or by the kernel when memory ran out"
    else:
        status, reason = "failed", f"the worker stopped with exit code {code} and did not say why"
    return End(status=status, reason=reason, traceback=tail_of(log), cpu_seconds=None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return str(number)


def _start(
    task: Task,
    files: Files,
    mark: str,
    variables: dict[str, str],
    cpus: Sequence[int],
    output: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a worker in its own process group, on the job's CPUs."""
    paths = [start.__file__, str(files.assignment), str(files.lines)]
    command = [task.python, *paths, mark, str(os.getpid())]
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    _set_affinity(cpus)  # the worker inherits it
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if takes_turns(task) else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Frameworks start helpers by `python -m`, which imports from the current folder first.
            # The user's current folder may contain anything.
            cwd=files.assignment.parent,
            env=variables,
            start_new_session=True,
        )
    except OSError as error:
        raise RunError(
            f"{task.python}: cannot be started: {error.strerror}", expected="a Python interpreter"
        ) from error
    finally:
        _set_affinity(before)


def _variables(task: Task, machine: Machine) -> dict[str, str]:
    """The worker's environment variables; `--variable` overrides the family's variables."""
    gpus = gpus_of(machine, task.job.device)
    platforms = _JAX_PLATFORMS.get(kind_of(task.job.device))
    return {
        **inherited_by(Path(task.python)).variables,
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        # Without it JAX asks its CUDA plug-in, which finds no GPU in a worker for CPUs.
        **({"JAX_PLATFORMS": platforms} if platforms else {}),
        # The user's ~/.keras/keras.json may have another precision or layout of images.
        "KERAS_HOME": str(cache_folder() / "keras"),
        **dict.fromkeys(THREADS, str(task.job.threads)),
        # Without it PyTorch refuses deterministic matrix products on CUDA.
        **({"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if task.job.deterministic else {}),
        **task.entry.variables,
        **dict(variable.split("=", 1) for variable in task.variables),
    }


def _set_affinity(cpus: Iterable[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
