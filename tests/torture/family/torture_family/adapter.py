"""The reference, which in its second epoch does what TORTURE says: "NAME" or "NAME:SIZE"."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from backends.contract import Job, Masks, Order
from backends.reference.oracle import Reference

_CHUNK = 2**20


class Misbehaving(Reference):
    """Trains as the reference does, until its second epoch."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._epochs = 0
        self._name, _, self._size = os.environ.get("TORTURE", "").partition(":")

    def train_epoch(self, order: Order, masks: Masks | None = None) -> float:
        loss = super().train_epoch(order, masks)
        self._epochs += 1
        if self._name and self._epochs == 2:
            told = getattr(self, f"_{self._name}")()
            loss = loss if told is None else told
        return loss

    @staticmethod
    def _told(text: bytes, times: int = 1) -> None:
        """Write into the file of the worker's lines."""
        with _lines().open("ab") as file:
            for _ in range(times):
                file.write(text)

    def _prints_lines(self) -> None:
        for _ in range(int(self._size) // _CHUNK):
            os.write(1, (b"x" * 79 + b"\n") * (_CHUNK // 80))

    def _prints_one_line(self) -> None:
        for _ in range(int(self._size) // _CHUNK):
            os.write(1, b"x" * _CHUNK)

    def _prints_escapes(self) -> None:
        os.write(1, b"\x1b[2J\x1b]0;zqx7\x07\xff\xfe\x00<zqx7>\n" * 1000)
        os._exit(3)

    def _prints_and_dies(self) -> None:
        self._prints_one_line()
        os._exit(3)

    def _tells_garbage(self) -> None:
        self._told(os.urandom(10_000) + b"\n")

    def _tells_bad_lines(self) -> None:
        for line in (
            '{"type":"epoch"}',
            '{"type":"zqx7"}',
            "[]",
            "null",
            "5",
            '"x"',
            "[" * 100_000,
        ):
            self._told(_marked(line))

    def _tells_ok_without_epochs(self) -> None:
        _lines().write_bytes(_marked(_END))
        os._exit(0)

    def _tells_ok_too_early(self) -> None:
        self._told(_marked(_END))
        os._exit(0)

    def _tells_epochs_again(self) -> None:
        content = _lines().read_bytes()
        self._told(content)

    def _tells_much(self) -> None:
        line = _marked('{"type":"memory","memory":null}')
        self._told(line * 1000, int(self._size) // (1000 * len(line)))

    def _tells_one_long_line(self) -> None:
        self._told(b"x" * _CHUNK, int(self._size) // _CHUNK)

    def _removes_lines(self) -> None:
        _lines().unlink()

    def _links_lines(self) -> None:
        _lines().unlink()
        _lines().symlink_to("/dev/zero")

    def _ends_without_end(self) -> None:
        os._exit(0)

    def _dies_by(self) -> None:
        os.kill(os.getpid(), int(self._size))

    def _loses_a_number(self) -> float:
        return float("nan")

    def _raises_much(self) -> None:
        raise RuntimeError("\x1b[2J<zqx7>" + "x" * int(self._size))

    def _recurses(self) -> None:
        self._recurses()

    def _leaves_helpers(self) -> None:
        """Start a helper in its own session, and one in the worker's; both hold its output."""
        for own in (True, False):
            subprocess.Popen(["sleep", "77"], start_new_session=own)

    def _hangs(self) -> None:
        time.sleep(3600)

    def _ignores_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(3600)

    def _takes_memory(self) -> None:
        raise MemoryError

    def _stops(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def _loses_its_weights(self) -> None:
        for layer in self._layers:
            for name in layer.weights:
                layer.weights[name] = np.full_like(layer.weights[name], np.inf)


_END = '{"type":"end","status":"ok","reason":"","traceback":"","cpu_seconds":1.0}'


def _lines() -> Path:
    """The file of the worker's lines, one of its arguments."""
    return next(Path(word) for word in sys.argv[1:] if "progress" in word)


def _marked(line: str) -> bytes:
    """A line with the mark of the lines that the worker has written."""
    first = json.loads(_lines().read_bytes().splitlines()[0])
    first["line"] = "LINE"
    return json.dumps(first).replace('"LINE"', line).encode() + b"\n"
