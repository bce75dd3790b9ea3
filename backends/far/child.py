"""The child process in the old Python: its start, the calls, and its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from backends.contract import Unsupported
from backends.far import near
from backends.far.near_messages import MessageError, read_message, write_message

_LINES = 20  # of the child's output in an error
_OUTPUT_SECONDS = 2.0  # how long to wait for the last output of a child that has ended


class ChildError(Exception):
    """The child ended, answered with an error, or did not answer as it must."""


class Child:
    """A process that runs `backends.far.near`, until it is closed or forgotten.

    Attributes:
        pid: the process's ID.
    """

    def __init__(self, python: str, target: str, packages: Sequence[Path], advice: str) -> None:
        """Start the process.

        Args:
            python: the interpreter.
            target: "module:Class" of what the calls are made to.
            packages: the folders of the packages that it imports, besides `backends`.
            advice: what to type if the interpreter cannot run it.

        Raises:
            ChildError: the interpreter cannot be started.
        """
        self._advice, self._number = advice, 0
        self._transport, self._began, self._method = 0.0, 0.0, ""
        command = [python, "-I", near.__file__, target, *map(str, packages)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise ChildError(f"{python} cannot be started: {error.strerror}; {advice}") from error
        self.pid = self._process.pid
        self._output: deque[str] = deque(maxlen=_LINES)
        self._reader = threading.Thread(
            target=_keep, args=(self._process.stderr, self._output), daemon=True
        )
        self._reader.start()
        self._end = weakref.finalize(self, _end, self._process)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method in the child, and return its result.

        Raises:
            ChildError: the method raised an error, or the child did not answer.
            Unsupported, MemoryError: the method raised an error of that name.
        """
        self.begin(method, *arguments)
        return self.result()

    def begin(self, method: str, *arguments: Any) -> None:
        """Call a method in the child; `result` waits for its end.

        Raises:
            ChildError: the child has ended.
        """
        self._began, self._method = time.perf_counter(), method
        self._number += 1
        try:
            write_message(
                self._process.stdin, self._number, {"method": method, "arguments": arguments}
            )
        except OSError:
            raise ChildError(self._why_it_ended(method)) from None

    def result(self) -> Any:
        """The result of the method that was called last.

        Raises:
            ChildError, Unsupported, MemoryError: see `call`.
        """
        method = self._method
        try:
            number, reply = read_message(self._process.stdout)
        except (OSError, EOFError):
            raise ChildError(self._why_it_ended(method)) from None
        except MessageError as error:
            self.close()
            raise ChildError(f"{method}: {error}\n{self._said()}") from error
        if number != self._number:
            self.close()
            raise ChildError(f"the reply to call {number} came for call {self._number}, {method}")
        if "error" in reply:
            self._raise(method, reply["error"])
        if self._number > 1:  # the first call also waits for the interpreter's start
            self._transport += time.perf_counter() - self._began - reply["seconds"]
        return reply["result"]

    def transport_seconds(self) -> float:
        """The time of all calls outside the child's methods, since this was asked last."""
        seconds, self._transport = self._transport, 0.0
        return seconds

    def close(self) -> None:
        """Kill the process, and wait for its end and its last output."""
        self._end()
        self._reader.join(_OUTPUT_SECONDS)

    def _raise(self, method: str, error: dict[str, str]) -> None:
        kind, text = error["type"], error["text"]
        if kind == "Unsupported":
            raise Unsupported(text)
        if kind == "MemoryError":
            raise MemoryError(text)
        advice = f"; {self._advice}" if kind in ("ImportError", "ModuleNotFoundError") else ""
        raise ChildError(f"{method}: {kind}: {text}{advice}\n{error['traceback']}")

    def _why_it_ended(self, method: str) -> str:
        """A sentence on a child that has ended, and its last output."""
        self._reader.join(_OUTPUT_SECONDS)
        self.close()
        code = self._process.returncode
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        advice = f"; {self._advice}" if self._number == 1 else ""
        return f"the framework's process ended in {method} with {how}{advice}\n{self._said()}"

    def _said(self) -> str:
        return "".join(self._output)


def _keep(stream: IO[bytes], output: deque[str]) -> None:
    """Pass a child's output on to the log of this process, and keep the last lines."""
    with suppress(ValueError, OSError), stream:  # the log may be closed
        for line in stream:
            text = line.decode("utf-8", errors="replace")
            output.append(text)
            sys.stderr.write(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes, and kill the process if it still runs."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not sent yet
                stream.close()
