"""Several children that make the same calls at the same time: the ranks of one job."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event, Thread
from typing import Any

import specs
from backends.contract import Unsupported
from backends.far.child import Child, ChildError, ChildGoneError
from backends.far.node import NodeChild, this_node

# How many seconds a rank waits for the others. One that has ended is noticed at once, and one that
# hangs within a minute.
WAIT_SECONDS = float(os.environ.get("FRAMEWORK_BENCH_RANK_SECONDS", "50"))  # noqa: TID251 - --variable
# How long the others have to answer when one has failed, which makes them fail, too.
LAST_SECONDS = 5.0


class Team:
    """Children that are called together; the first failure ends all of them.

    Attributes:
        children: in the order of their ranks.
        ended: whether they were ended.
    """

    def __init__(self, children: Sequence[Child]) -> None:
        self.children, self.ended = children, False

    def nodes(self) -> dict[str, str | int | bool | None]:
        """The setting "nodes": their names, this one's first; nothing if all are on this node."""
        others = [child.node for child in self.children if isinstance(child, NodeChild)]
        return {"nodes": ", ".join(dict.fromkeys([this_node(), *others]))} if others else {}

    def begin(self, method: str, *arguments: Any) -> None:
        """Call a method in all children; `results` waits for its end.

        Raises:
            ChildError: a child has ended.
        """
        try:
            for child in self.children:
                child.begin(method, *arguments)
        except ChildError:
            self.end()
            raise

    def results(self, seconds: float | None) -> list[Any]:
        """The results of the method that was called last, in the order of the children.

        Args:
            seconds: how long to wait for the next answer; None: as long as it takes.

        Raises:
            ChildError, Unsupported, MemoryError: what made the first of them fail.
        """
        waiting, results = list(self.children), dict[Child, Any]()
        failures: list[Exception] = []
        while waiting:
            limit = LAST_SECONDS if failures else seconds
            ready = _ready(waiting, limit)
            for child in ready:
                try:
                    results[child] = child.result(limit or WAIT_SECONDS)
                except (ChildError, Unsupported, MemoryError) as error:
                    failures.append(error)
            waiting = [child for child in waiting if child not in ready]
            if not ready:
                failures += [child.silent(limit) for child in waiting]
                break
        if failures:
            self.end()
            raise min(failures, key=_may_follow)
        return [results[child] for child in self.children]

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Do this process's own part of the children's call in the `with` statement.

        If that is not done `WAIT_SECONDS` after a child has answered or failed, this process hangs:
        it is ended, and its last line says so.

        Args:
            name: what the line calls this process.
        """
        done, connections = Event(), [child.connection for child in self.children]

        def watch() -> None:
            with suppress(OSError, ValueError):  # a connection is closed: a child has failed
                wait(connections)  # type: ignore[arg-type]
            if not done.wait(WAIT_SECONDS):
                sys.stderr.write(
                    f"{name} hangs: {WAIT_SECONDS:g} s after another rank's end of the same call it"
                    " goes on\n"
                )
                sys.stderr.flush()
                os._exit(1)

        if None not in connections:  # pipes on Windows, which cannot be waited for
            Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def end(self) -> None:
        """End all children."""
        self.ended = True
        for child in self.children:
            child.close()


# Children of the last job. Their start takes seconds, so the next adapter of the same kind has them
# again: `bench verify` makes many.
_last: dict[tuple[object, ...], Team] = {}


def team_of(
    target: str, names: Sequence[str], nodes: Sequence[int], advice: str, *, on_gpu: bool
) -> Team:
    """Children that run the same class by this worker's Python; they are started if need be.

    Args:
        target: "module:Class" of what the calls are made to.
        names: what errors call each child.
        nodes: the number of each one's node in the job, from 0, which is this one.
        advice: what to type if the interpreter cannot run it.
        on_gpu: whether they see GPUs.

    Raises:
        ChildError: the interpreter cannot be started.
    """
    key = (target, *names, *nodes, on_gpu)
    if key not in _last or _last[key].ended:
        for team in _last.values():
            team.end()
        _last.clear()
        start = (sys.executable, target, [Path(specs.__file__).parent], advice)
        _last[key] = Team(
            [
                NodeChild(*start, name=name, seconds=WAIT_SECONDS, number=node, on_gpu=on_gpu)
                if node
                else Child(*start, name=name, seconds=WAIT_SECONDS)
                for name, node in zip(names, nodes, strict=True)
            ]
        )
    return _last[key]


def _ready(children: Sequence[Child], seconds: float | None) -> list[Child]:
    """The children that have answered or ended, when the first of them has."""
    by_connection = {child.connection: child for child in children}
    if None in by_connection:  # Windows: pipes, which are read one after the other
        return list(children)
    ready: list[Any] = wait(list(by_connection), seconds)  # type: ignore[arg-type]
    return [by_connection[connection] for connection in ready]


def _may_follow(failure: Exception) -> bool:
    """Whether a rank may have failed because another one did: its connection is broken."""
    return isinstance(failure, ChildError) and not isinstance(failure, ChildGoneError)
