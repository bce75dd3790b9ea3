"""A child on another node of a Slurm job: a step of its own, which calls back.

Slurm starts it. Calls, arrays and replies take a connection of their own, as `srun` passes on some
20 MB/s. Who does not know the token is not let in: everybody on the network can find the port.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from backends.far.child import Child

# They are of this node: folders that the others do not have, and this worker's GPUs.
_FOLDERS, _GPUS = ("TMPDIR", "CUDA_CACHE_PATH"), ("CUDA_VISIBLE_DEVICES",)
_CHECK_SECONDS = 0.2
_GREETING_SECONDS = 5.0  # it is sent at once
_MOST_GREETING = 1000  # bytes: a token, and the name of a node
_END_SECONDS = 2.0  # a step whose connection is closed ends at once, unless it hangs
_SIGNALS = 128  # srun's exit code is that much more than the number of the signal


def this_node() -> str:
    """Slurm's name of the node that this process runs on; "" without Slurm."""
    return os.environ.get("SLURMD_NODENAME", "")


class NodeChild(Child):
    """A process on another node of the Slurm job that this process runs in.

    Attributes:
        node: Slurm's name of the node; "" until the process has called back.
    """

    def __init__(
        self,
        python: str,
        target: str,
        packages: Sequence[Path],
        advice: str,
        *,
        name: str,
        seconds: float,
        number: int,
        on_gpu: bool,
    ) -> None:
        """Start the process.

        Args:
            python: the interpreter, which this node and that one have.
            target: "module:Class" of what the calls are made to.
            packages: the folders of the packages that it imports, besides `backends`.
            advice: what to type if the interpreter cannot run it.
            name: what errors call it, together with its node.
            seconds: how long to wait for its start, and for an answer.
            number: of the node in the job, from 0, which is this one.
            on_gpu: whether it sees the node's GPUs.
        """
        self.node, self._host, self._limit = "", "", seconds
        self._on_gpu, self._relative = on_gpu, number
        called = f"{name} on node {number}"
        self._token, self._listener = secrets.token_hex(), socket.create_server(("", 0))
        self._listener.settimeout(_CHECK_SECONDS)
        self._short_name, self._started = name, time.monotonic()
        super().__init__(python, target, packages, advice, name=called, seconds=seconds)
        self._open.append(self._listener)

    def host(self) -> str:
        """The address of this machine, as the process reaches it; waits until it has called back.

        Raises:
            ChildError: it has ended, or does not call back.
        """
        while not self._host:
            if self._process.poll() is not None:
                raise self.gone("its start")
            if time.monotonic() - self._started > self._limit:
                raise self.silent(self._limit)
            with suppress(TimeoutError):
                self._greet(self._listener.accept()[0])
        return self._host

    def begin(self, method: str, *arguments: Any) -> None:
        self.host()
        super().begin(method, *arguments)

    def _greet(self, connection: socket.socket) -> None:
        """Take a connection if it has the token, else close it."""
        connection.settimeout(_GREETING_SECONDS)
        said = b""
        with suppress(OSError), connection.makefile("rb", 0) as greeting:  # or nothing is said
            said = greeting.readline(_MOST_GREETING)
        token, _, node = said.partition(b" ")
        if not secrets.compare_digest(token, self._token.encode()):
            connection.close()
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._take(connection)
        self._host, self.node = connection.getsockname()[0], node.decode().strip()
        self.name = f"{self._short_name} on {self.node}"

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        python, isolated, near, *rest = command
        left_out = (*_FOLDERS, *(_GPUS if self._on_gpu else ()))
        process = subprocess.Popen(
            [
                *("srun", "--overlap", "--export=ALL", "--chdir=/", "--cpu-bind=none"),
                *("--nodes=1", "--ntasks=1", f"--relative={self._relative}"),
                *(() if self._on_gpu else ("--gres=none",)),
                *(python, isolated, near, "--connect", *rest),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in left_out},
        )
        if process.stdin is not None:
            with suppress(OSError):  # it has ended, which `host` says
                port = self._listener.getsockname()[1]
                process.stdin.write(f"{port} {self._token}\n".encode())
                process.stdin.close()
        return process

    def _code(self) -> int:
        code = super()._code()
        return _SIGNALS - code if code > _SIGNALS else code

    @staticmethod
    def _finish(process: subprocess.Popen[bytes], opened: list[Any]) -> None:
        """Close the connection; end the step by `srun` if it does not end by itself."""
        for each in opened:
            with suppress(OSError):
                each.close()
        for end in (process.terminate, process.kill):
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
            end()
        process.wait()
