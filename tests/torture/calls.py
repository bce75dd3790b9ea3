"""Calls of the command line in fresh processes, forked from one that has imported what they need.

A call costs tens of milliseconds instead of two seconds. Each has its own folder, limits of memory
and of processor time, and tells where it wrote.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.records.files import PROJECT
from tests.torture.campaign import Fault
from tests.torture.oracles import no_traceback, plain_terminal, tail

CPU_SECONDS = 30  # of a call; the slowest healthy one takes less than a fifth of it
_WALL_SECONDS = 120.0  # a machine may be doing other work
_IDLE_SECONDS = 10.0  # a call that uses no CPU for so long waits for what does not come
_MEMORY_BYTES = 4 * 2**30
_IMPORTED = (
    *("bench.command.cli", "bench.report.page", "bench.report.compare", "bench.report.history"),
    *("bench.report.export.run", "bench.report.export.junit", "bench.command.run"),
    *("bench.overview.deck", "bench.overview.write.files", "matplotlib.pyplot", "pooch"),
)
_WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link"}
_WRITES |= {"os.truncate", "os.chmod", "shutil.rmtree"}
_STARTS = {"socket.connect", "subprocess.Popen"}  # `bench run` asks interpreters, others nobody


class Called(NamedTuple):
    """A call that has ended.

    Attributes:
        code: the exit code; -9 and the like if a signal ended it; None if it took too long.
        elsewhere: what it wrote outside the folders that it may write to, or started.
    """

    code: int | None
    output: str
    errors: str
    elsewhere: str
    seconds: float
    peak_bytes: int

    @property
    def faults(self) -> list[Fault]:
        """What no call may do, whatever it is asked."""
        found = [*no_traceback(self.errors), *plain_terminal(self.output + self.errors)]
        if self.code is None or self.code < 0:
            how = "killed" if self.code is None else f"signal {-self.code}"
            found.append(Fault("no end in time", f"{how} after {self.seconds:.1f} s"))
        if self.elsewhere:
            found.append(Fault("write elsewhere", tail(self.elsewhere)))
        return found


def call(
    arguments: Sequence[str],
    folder: Path,
    writes: Sequence[Path] = (),
    *,
    seconds: float = _WALL_SECONDS,
    mirror: str = "",
) -> Called:
    """Call `bench` with these arguments in a folder; it may write there only to `writes`.

    With `mirror`, all data sets are downloaded from that address. The folder gets a home, a cache
    and a folder for temporary files, which it may write to, too.
    """
    places = {name: folder / f".{name}" for name in ("home", "cache", "temporary")}
    for place in (*places.values(), folder / ".said"):
        place.mkdir(exist_ok=True)
    request = {
        "arguments": list(arguments),
        "folder": str(folder),
        "said": str(folder / ".said"),
        "writes": [os.path.realpath(path) for path in (*writes, *places.values())],
        "variables": {
            "HOME": str(places["home"]),
            "FRAMEWORK_BENCH_CACHE": str(places["cache"]),
            "TMPDIR": str(places["temporary"]),
        },
        "seconds": seconds,
        "mirror": mirror,
    }
    server = _server()
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    done = json.loads(server.stdout.readline())
    said = {name: _said(folder / ".said" / name) for name in ("output", "errors", "elsewhere")}
    return Called(**done, **said)


def _said(path: Path) -> str:
    """The text of a file, of a very long one its two ends."""
    with path.open("rb") as file:
        content = file.read(2_000_000)
        if path.stat().st_size > 4_000_000:
            file.seek(-2_000_000, os.SEEK_END)
        content += file.read(2_000_000)
    return content.decode("utf-8", "surrogateescape")


@cache
def _server() -> subprocess.Popen[str]:
    """The process that is forked; it ends when this one does, as its input ends."""
    command = [sys.executable, "-m", "tests.torture.calls"]
    variables = {"PYTHONPATH": str(PROJECT), "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def serve() -> None:
    """Answer requests until there are no more."""
    for module in _IMPORTED:
        __import__(module)
    sys.argv = ["bench"]
    for line in sys.stdin:
        request = json.loads(line)
        started = time.monotonic()
        process = os.fork()
        if process == 0:
            _become(request)
        code, peak = _wait(process, request["seconds"], may_wait=bool(request["mirror"]))
        answer = {"code": code, "seconds": time.monotonic() - started, "peak_bytes": peak}
        print(json.dumps(answer), flush=True)


def _wait(process: int, seconds: float, *, may_wait: bool) -> tuple[int | None, int]:
    now = time.monotonic()
    until, used, idle_until = now + seconds, None, now + _IDLE_SECONDS
    while now < min(until, idle_until):
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            _kill_group(process)
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        time.sleep(0.005)
        now, times = time.monotonic(), Path(f"/proc/{process}/stat").read_text().split()[13:17]
        if may_wait or times != used:
            used, idle_until = times, now + _IDLE_SECONDS
    _kill_group(process)
    return None, os.wait4(process, 0)[2].ru_maxrss * 1024


def _kill_group(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _become(request: Mapping[str, Any]) -> None:
    """In the forked process: do the call, and end as `python -m bench` would."""
    os.setsid()
    said = Path(request["said"])
    for number, name in ((1, "output"), (2, "errors")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    elsewhere = os.open(said / "elsewhere", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.environ.update(request["variables"])
    os.environ.pop("FRAMEWORK_BENCH_DATA", None)
    os.chdir(request["folder"])
    # Not RLIMIT_AS: the engine that draws charts reserves addresses that it never uses.
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    sys.dont_write_bytecode = True
    if request["mirror"]:
        _use_mirror(request["mirror"])
    watched = _WRITES if request["arguments"][0] in {"run", "data"} else _WRITES | _STARTS
    sys.addaudithook(_Watch(tuple(request["writes"]), elsewhere, watched))
    code = 1
    try:
        from bench.command.cli import main

        code = main(request["arguments"])
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _use_mirror(address: str) -> None:
    from bench.data import archives

    archives.ARCHIVES = {
        name: msgspec.structs.replace(archive, mirrors=(address,))
        for name, archive in archives.ARCHIVES.items()
    }


class _Watch:
    """An audit hook that notes what is written outside some folders, and what is started."""

    def __init__(self, allowed: tuple[str, ...], descriptor: int, watched: set[str]) -> None:
        self._allowed, self._descriptor, self._watched = allowed, descriptor, watched

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            changes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            changes = changes or (isinstance(mode, str) and not {*mode}.isdisjoint("wax+"))
            if not changes or isinstance(path, int):
                return
            paths = [path]
        elif event in self._watched & _STARTS:
            paths = [f"/{event} {arguments[1]}"]
        elif event in self._watched:
            paths = [one for one in arguments[:2] if isinstance(one, (str, bytes, os.PathLike))]
        else:
            return
        for one in paths:
            place = os.path.realpath(os.fsdecode(one))
            inside = any(place == a or place.startswith(a + os.sep) for a in self._allowed)
            if not inside and place != os.devnull:
                os.write(self._descriptor, f"{event} {place}\n".encode("utf-8", "replace"))


if __name__ == "__main__":
    serve()
