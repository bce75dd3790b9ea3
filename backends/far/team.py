"""Several children that make the same calls at the same time: the ranks of one job."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event, Thread
from typing import Any, NoReturn

import specs
from backends import contract
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
        self._begin(self.children, method, *arguments)

    def results(self, seconds: float | None, own: Exception | None = None) -> list[Any]:
        """The results of the method that was called last, in the order of the children.

        Args:
            seconds: how long to wait for the first answer; None: as long as it takes. The other
                answers must follow within `WAIT_SECONDS`, as ranks end a call together.
            own: what this process's part of the call has raised.

        Raises:
            ChildError, Unsupported, MemoryError: what made the first child fail.
            Exception: `own`, if no child failed.
        """
        return self._results(self.children, seconds, [own] if own else [])

    def first(self, method: str, *arguments: Any) -> Any:
        """The result of a method of the first child alone, however long it takes.

        Raises:
            ChildError, Unsupported, MemoryError: the method failed, or another child has ended.
        """
        self._begin(self.children[:1], method, *arguments)
        return self._results(self.children[:1], None, [])[0]

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
                    f" goes on{self._failure()}\n"
                )
                sys.stderr.flush()
                os._exit(1)

        if None not in connections:  # pipes on Windows, which cannot be waited for
            Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _failure(self) -> str:
        """What made a child fail, to be appended to a sentence; "" if none failed."""
        try:
            self.results(LAST_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said
            return f"; {error}"
        return ""

    def _begin(self, children: Sequence[Child], method: str, *arguments: Any) -> None:
        try:
            for child in children:
                child.begin(method, *arguments)
        except ChildError as error:
            ended = [child for child in self.children if child.has_ended()]
            self._fail([error, *(child.gone(method) for child in ended)])

    def _results(
        self, children: Sequence[Child], seconds: float | None, failures: list[Exception]
    ) -> list[Any]:
        """The results of some children, see `results`; all children must go on meanwhile.

        Args:
            children: those that were called.
            seconds: see `results`.
            failures: those that are known.
        """
        waiting, results, watched = list(children), dict[Child, Any](), list(self.children)
        while waiting:
            limit = LAST_SECONDS if failures else WAIT_SECONDS if results else seconds
            ready = _ready(watched, waiting, limit)
            for child in ready:
                try:
                    if child not in waiting:  # it says nothing: its connection has ended
                        raise child.gone("a call to another rank")
                    results[child] = child.result(limit or WAIT_SECONDS)
                except (ChildError, Unsupported, MemoryError) as error:
                    failures.append(error)
                    watched.remove(child)
            waiting = [child for child in waiting if child not in ready]
            if not ready:
                failures += [child.silent(limit) for child in waiting]
                break
        if failures:
            self._fail(failures)
        return [results[child] for child in children]

    def _fail(self, failures: Sequence[Exception]) -> NoReturn:
        """End all children, and raise what probably made the first of them fail.

        A rank fails because of another one when a connection breaks or nobody answers. Which one is
        not certain, so an earlier failure is named, too.
        """
        self.end()
        chosen = min(failures, key=_rank)
        if chosen is failures[0]:
            raise chosen
        first, _, rest = str(chosen).partition("\n")
        earlier = str(failures[0]).partition("\n")
        raise type(chosen)(
            f"{first}; before that {earlier[0]}\n{rest}\n{earlier[2]}"
        ) from failures[0]

    def end(self) -> None:
        """End all children."""
        self.ended = True
        for child in self.children:
            child.close()


class SharedCalls(ABC):
    """The calls of `backends.contract.Backend` that an adapter makes in all ranks."""

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._in_all("load", images, labels)

    def set_weights(self, weights: contract.Weights) -> None:
        self._in_all("set_weights", dict(weights))

    def reset(self, weights: contract.Weights) -> None:
        self._in_all("reset", dict(weights))

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        loss: float = self._in_all("train_epoch", order, masks and list(masks))
        return loss

    @abstractmethod
    def _in_all(self, method: str, *arguments: Any) -> Any:
        """Call a method in all ranks, and return the result of the first."""


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


def _ready(
    watched: Sequence[Child], waiting: Sequence[Child], seconds: float | None
) -> list[Child]:
    """The children that have answered or ended, when the first of them has.

    Args:
        watched: the children that are looked at.
        waiting: those of which an answer is wanted.
        seconds: how long to wait; None: as long as it takes.
    """
    by_connection = {child.connection: child for child in watched}
    if None in by_connection:  # Windows: pipes, which are read one after the other
        return list(waiting)
    ready: list[Any] = wait(list(by_connection), seconds)  # type: ignore[arg-type]
    return [by_connection[connection] for connection in ready]


def _rank(failure: Exception) -> int:
    """The lower, the less likely it is that another rank made this one fail."""
    if isinstance(failure, (Unsupported, MemoryError)):
        return 0
    if isinstance(failure, ChildGoneError):
        return 1
    return 2 if isinstance(failure, ChildError) else 3  # 3: this process's own
