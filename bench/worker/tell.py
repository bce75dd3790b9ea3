"""Writes a worker's lines to its file as they come, and at last how the work ended."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backends.contract import Unsupported
from bench.worker import clock
from bench.worker.lines import End, Status, line_of

Tell = Callable[[Any], None]
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")  # Keras colours its errors
_LONGEST_REASON = 300  # characters; the traceback has the rest


def tell_all(lines_path: str, start: str, work: Callable[[Tell], Iterator[Any]]) -> None:
    """Do the work and write its lines; an error is written as an `End`.

    Args:
        lines_path: the file to write to.
        start: see `bench.worker.lines.line_of`.
        work: yields its lines; it gets a function by which it can write others in between.
    """
    with Path(lines_path).open("ab", buffering=0) as file:

        def tell(line: Any) -> None:
            file.write(line_of(start, line))

        status: Status = "ok"
        reason = details = ""
        parent = os.getppid()
        try:
            for line in work(tell):
                tell(line)
                if os.getppid() != parent:
                    return  # the parent has ended: nobody reads our lines
        except Unsupported as error:
            status, reason = "unsupported", str(error)
        except Exception as error:  # noqa: BLE001 - whatever a framework raises, the end is a record
            status, reason, details = "failed", one_line(error), traceback.format_exc()
        cpu = clock.cpu_seconds()
        tell(
            End(
                status=status, reason=reason, traceback=details, cpu_seconds=cpu, device_memory=None
            )
        )


def one_line(error: Exception) -> str:
    """An error in one line, for a record's reason: its type and its first line, without colours."""
    text = _ESCAPES.sub("", str(error)).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:_LONGEST_REASON]}"
