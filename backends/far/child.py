"""The child process, in an old Python or as another rank: its start, the calls, and its end."""

from __future__ import annotations

import os
import signal
import socket
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


class ChildGoneError(ChildError):
    """The child ended or did not answer, and no other process made it do so."""


class Child:
    """A process that runs `backends.far.near`, until it is closed or forgotten.

    Attributes:
        pid: the process's ID.
        name: what errors call it.
        connection: for calls and replies; None if they take pipes.
    """

    def __init__(
        self,
        python: str,
        target: str,
        packages: Sequence[Path],
        advice: str,
        *,
        name: str = "the framework's process",
        seconds: float | None = None,
    ) -> None:
        """Start the process.

        Args:
            python: the interpreter.
            target: "module:Class" of what the calls are made to.
            packages: the folders of the packages that it imports, besides `backends`.
            advice: what to type if the interpreter cannot run it.
            name: what errors call the process.
            seconds: how long to wait for an answer; None: as long as it takes.

        Raises:
            ChildError: the interpreter cannot be started.
        """
        self.name, self._seconds = name, seconds
        self._advice, self._number = advice, 0
        self._transport, self._began, self._method = 0.0, 0.0, "its start"
        self.connection: socket.socket | None = None
        self._calls: Any = None
        self._replies: Any = None
        command = [python, "-I", near.__file__, target, *map(str, packages)]
        self._open: list[Any] = []
        try:
            self._process = self._start(command)
        except OSError as error:
            raise ChildError(f"{python} cannot be started: {error.strerror}; {advice}") from error
        self.pid = self._process.pid
        self._output: deque[str] = deque(maxlen=_LINES)
        self._reader = threading.Thread(
            target=_keep, args=(self._process.stderr, self._output), daemon=True
        )
        self._reader.start()
        self._end = weakref.finalize(self, self._finish, self._process, self._open)

    def host(self) -> str:
        """The address of this machine, as the process reaches it."""
        return "127.0.0.1"

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
            if self.connection is not None:
                self.connection.settimeout(self._seconds)
            write_message(self._calls, self._number, {"method": method, "arguments": arguments})
        except TimeoutError:
            raise self.silent(self._seconds) from None
        except (OSError, ValueError):  # ValueError: its stream is closed
            raise self.gone(method) from None

    def result(self, seconds: float | None = None) -> Any:
        """The result of the method that was called last.

        Args:
            seconds: how long to wait for it, if that is not the process's own limit.

        Raises:
            ChildError, Unsupported, MemoryError: see `call`.
        """
        method, seconds = self._method, self._seconds if seconds is None else seconds
        if self.connection is not None:
            self.connection.settimeout(seconds)
        try:
            number, reply = read_message(self._replies)
        except TimeoutError:
            raise self.silent(seconds) from None
        except (OSError, EOFError):
            raise self.gone(method) from None
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

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Kill the process, and wait for its end and its last output."""
        self._end()
        self._reader.join(_OUTPUT_SECONDS)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start the process, with pipes; if it has to answer in time, with a pair of sockets.

        Raises:
            OSError: it cannot be started.
        """
        if self._seconds is None or os.name == "nt":
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
            self._calls, self._replies = process.stdin, process.stdout
            self._open += [self._calls, self._replies]
            return process
        own, other = socket.socketpair()
        self._take(own)
        with other:
            end = other.fileno()
            return subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.PIPE)

    def _take(self, connection: socket.socket) -> None:
        """Take a connection for calls and replies; each waits as long as the process may take."""
        connection.settimeout(self._seconds)
        self.connection = connection
        # Not read ahead, and closed at once although the other side may read nothing.
        self._calls, self._replies = connection.makefile("wb"), connection.makefile("rb", 0)
        self._open[:0] = [_Shutdown(connection), self._calls, self._replies]

    def _raise(self, method: str, error: dict[str, str]) -> None:
        kind, text = error["type"], error["text"]
        if kind == "Unsupported":
            raise Unsupported(text)
        if kind == "MemoryError":
            raise MemoryError(text)
        advice = f"; {self._advice}" if kind in ("ImportError", "ModuleNotFoundError") else ""
        raise ChildError(f"{self.name}: {method}: {kind}: {text}{advice}\n{error['traceback']}")

    def gone(self, method: str) -> ChildError:
        """The error that the child has ended in a call, with its last output; it is closed."""
        self._reader.join(_OUTPUT_SECONDS)
        self.close()
        code = self._code()
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        advice = f"; {self._advice}" if self._number == 1 else ""
        # JAX aborts a process when another one of the same training has gone.
        kind = ChildError if code == -signal.SIGABRT else ChildGoneError
        return kind(f"{self.name} ended in {method} with {how}{advice}\n{self._said()}")

    def _code(self) -> int:
        """The exit code of a child that has ended; minus the number of the signal that ended it."""
        code: int = self._process.returncode
        return code

    @staticmethod
    def _finish(process: subprocess.Popen[bytes], opened: list[Any]) -> None:
        """Kill a process if it still runs, and close the streams to it."""
        process.kill()
        process.wait()
        for stream in opened:
            with suppress(OSError):  # what was not sent yet
                stream.close()

    def silent(self, seconds: float | None) -> ChildGoneError:
        """The error that the child has not answered to its last call; the child is closed."""
        self.close()
        limit = "" if seconds is None else f" within {seconds:g} s"
        return ChildGoneError(
            f"{self.name} did not answer in {self._method}{limit}\n{self._said()}"
        )

    def _said(self) -> str:
        return "".join(self._output)


class _Shutdown:
    """Closes a connection in such a way that nothing waits to be sent any more."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def close(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def _keep(stream: IO[bytes], output: deque[str]) -> None:
    """Pass a child's output on to the log of this process, and keep the last lines."""
    with suppress(ValueError, OSError), stream:  # the log may be closed
        for line in stream:
            text = line.decode("utf-8", errors="replace")
            output.append(text)
            sys.stderr.write(text)
