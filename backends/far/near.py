"""Runs beside a framework in an old Python: `PYTHON -I near.py MODULE:CLASS FOLDER...`.

It makes one object of the class and calls its methods as the other side says, until standard input
ends. Each FOLDER is that of a package that the module needs. `backends.far.far` says which methods
there are.

With `--connect` before MODULE:CLASS, calls and replies take a connection to the node of Slurm that
started this step, see `backends.far.node`. Slurm has given its address; standard input has a line
with the port and a token.
"""

import importlib
import importlib.util
import os
import platform
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import IO, Any

import numpy as np

# Each side knows how these must arrive: they show an exchange of bytes, or a change of type.
PROBE = {
    "float32": [1.5, -2.0, 3e38],
    "float64": [1e-300, 0.1],
    "int64": [1, -(2**40)],
    "bool": [1, 0],
}


def probe() -> "list[np.ndarray]":
    """Arrays of known values, to compare with what the other side has sent."""
    return [np.array(values, dtype) for dtype, values in PROBE.items()]


def is_probe(arrays: "list[np.ndarray]") -> bool:
    """Whether arrays are those of `probe`, in type and value."""
    return len(arrays) == len(PROBE) and all(
        one.dtype == other.dtype and np.array_equal(one, other)
        for one, other in zip(arrays, probe())
    )


class Server:
    """Answers calls about one object of a class, which the first call makes."""

    def __init__(self, module: str, kind: str) -> None:
        self._module, self._kind, self._object = module, kind, None

    def begin(self, description: "dict[str, Any]", arrays: "list[np.ndarray]") -> "dict[str, Any]":
        """Import the framework, and make the object from the description.

        Returns:
            The version of Python, and the arrays of `probe`.
        """
        if not is_probe(arrays):
            raise ValueError(f"arrays arrive changed: {arrays}")
        self._object = getattr(importlib.import_module(self._module), self._kind)(description)
        return {"python": platform.python_version(), "probe": probe()}

    def reply(self, call: "dict[str, Any]") -> "dict[str, Any]":
        """The reply to a call: its result or its error, and the seconds that it took."""
        begin = time.perf_counter()
        try:
            method = (
                self.begin if call["method"] == "begin" else getattr(self._object, call["method"])
            )
            reply = {"result": method(*call["arguments"])}
        except Exception as error:  # noqa: BLE001 - it is raised again on the other side
            reply = {
                "error": {
                    "type": type(error).__name__,
                    "text": str(error),
                    "traceback": traceback.format_exc(),
                }
            }
        reply["seconds"] = time.perf_counter() - begin
        return reply


def take_pipes() -> "tuple[IO[bytes], IO[bytes]]":
    """The streams of calls and of replies, kept away from what the framework reads and prints.

    What is printed, also by C++, goes to standard error; standard input is empty.
    """
    calls, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return calls, replies


def connect() -> "tuple[IO[bytes], IO[bytes]]":
    """The streams of calls and of replies over a connection to the node that started this step."""
    port, token = sys.stdin.readline().split()
    connection = socket.create_connection((os.environ["SLURM_LAUNCH_NODE_IPADDR"], int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    os.dup2(2, 1)  # what the framework prints goes to the log
    connection.sendall(f"{token} {os.environ['SLURMD_NODENAME']}\n".encode())
    return connection.makefile("rb"), connection.makefile("wb")


def import_package(name: str, folder: Path) -> None:
    """Import one package from its folder, and nothing that lies beside it."""
    spec = importlib.util.spec_from_file_location(name, str(folder / "__init__.py"))
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no package {name} in {folder}")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def main(target: str, *folders: str) -> None:
    """Answer calls until they end."""
    if target == "--connect":
        target, folders = folders[0], folders[1:]
        calls, replies = connect()
    else:
        calls, replies = take_pipes()
    import_package("backends", Path(__file__).absolute().parents[1])
    for folder in map(Path, folders):
        if folder.name not in sys.modules:
            import_package(folder.name, folder)
    module, _, kind = target.partition(":")
    from backends.far.near_messages import read_message, write_message

    server = Server(module, kind)
    while True:
        try:
            number, call = read_message(calls)
        except EOFError:
            sys.stderr.flush()
            os._exit(0)  # JAX's own end waits for the other nodes
        write_message(replies, number, server.reply(call))


if __name__ == "__main__":
    main(*sys.argv[1:])
