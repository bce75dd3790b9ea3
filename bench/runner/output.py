"""Reads what a worker writes: its lines, and the log of its framework. Both are bounded.

A worker may write any amount; this process keeps little of it in memory and on disk.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from bench.worker.lines import End, Line, MarkedLine

# The lines of a job: an epoch's takes about 1 kB.
_MOST_LINE_BYTES, _EPOCH_BYTES = 16_000_000, 4_000
_PART_BYTES = 1_000_000  # read at a time
# A log that has become longer is cut to its last part.
MOST_LOG_BYTES, _KEPT_LOG_BYTES = 64_000_000, 1_000_000
_MOST_UNCUT_BYTES = 8 * MOST_LOG_BYTES
_LOG_TAIL_BYTES, _LOG_TAIL_LINES = 16_000, 20  # of the log, in a record
_MOST_REASON, _MOST_TRACEBACK = 1_000, 64_000  # characters


class LineReader:
    """The lines with a mark in a file, read as they come.

    An incomplete last line is left out. A line with another mark is from an earlier worker whose
    parent was killed. The file stays open, so that it can be read even if somebody removes it.

    Attributes:
        lines: the lines so far.
        size: the number of bytes read.
    """

    def __init__(self, path: Path, mark: str, epochs: int = 0) -> None:
        """Open the file.

        Args:
            path: the path of the file.
            mark: the mark of the worker's lines.
            epochs: the number of epochs of the job; each allows more lines.

        Raises:
            OSError: the file cannot be read.
        """
        self.lines: list[Line] = []
        self.size, self._rest, self._unreadable, self._error = 0, b"", 0, ""
        self._mark, self._most = mark, _MOST_LINE_BYTES + epochs * _EPOCH_BYTES
        self._file = path.open("rb", buffering=0)

    def read(self) -> bool:
        """Read the lines that are new; False if nothing was written since the last call."""
        before = self.size
        while not self.is_full and (part := self._read_part()):
            self.size += len(part)
            *texts, self._rest = (self._rest + part).split(b"\n")
            for text in filter(None, texts):
                self._take(text)
        return self.size > before

    @property
    def is_full(self) -> bool:
        """Whether the worker wrote more than the limit."""
        return self.size > self._most

    @property
    def end(self) -> End | None:
        """The worker's `End`; an "ok" is changed to a failure if not all lines could be read."""
        end = next((line for line in self.lines if isinstance(line, End)), None)
        if self.problem and (end is None or end.status == "ok"):
            return End(status="failed", reason=self.problem, traceback="", cpu_seconds=None)
        if end is None:
            return None
        return msgspec.structs.replace(
            end, reason=end.reason[:_MOST_REASON], traceback=end.traceback[-_MOST_TRACEBACK:]
        )

    @property
    def problem(self) -> str:
        """Why not all lines could be read; "" if they could."""
        if self.is_full:
            return f"the worker wrote more than {self._most / 1e6:.0f} MB of lines"
        if self._unreadable:
            return f"{self._unreadable} of the worker's lines cannot be read"
        return self._error

    def close(self) -> None:
        """Close the file; the lines stay."""
        self._file.close()

    def _read_part(self) -> bytes:
        try:
            return self._file.read(_PART_BYTES) or b""
        except OSError as error:  # of a network file system
            self._error = f"the worker's lines cannot be read: {error.strerror}"
            return b""

    def _take(self, text: bytes) -> None:
        try:
            marked = msgspec.json.decode(text, type=MarkedLine)
            if marked.mark == self._mark:
                self.lines.append(msgspec.json.decode(marked.line, type=Line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._unreadable += 1


def cut_log(log: Path) -> None:
    """Cut a log that is too long to its last part; its writers must open it to append.

    That part is copied to the beginning, followed by what was written meanwhile. Only what is
    written in the moment before the cut can be lost.
    """
    with suppress(OSError):  # somebody has removed it
        if log.stat().st_size <= MOST_LOG_BYTES:
            return
        with log.open("r+b", buffering=0) as file:
            start, length = file.seek(-_KEPT_LOG_BYTES, 2), 0
            part = b"[the log became too long: what stood here was removed]\n"
            while part and length < MOST_LOG_BYTES // 2:
                file.seek(length)
                length += file.write(part)
                file.seek(start)
                part = file.read(_KEPT_LOG_BYTES)
                start += len(part)
            # If writing is faster than copying, the log is cut later, or now if it became much too
            # long.
            if not part or start > _MOST_UNCUT_BYTES:
                file.truncate(length)


def tail_of(log: Path) -> str:
    """The last lines of a log; "" if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LOG_TAIL_BYTES))
            content = file.read(_LOG_TAIL_BYTES)
    except OSError:
        return ""
    return "\n".join(content.decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
