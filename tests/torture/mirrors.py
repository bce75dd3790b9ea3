"""Mirrors that are slow, endless, wrong, or send elsewhere: a download ends, and takes nothing.

The mirror is a real server on this machine; of the bench only the addresses are others.
"""

from __future__ import annotations

import gzip
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from random import Random

from tests.torture.calls import call
from tests.torture.campaign import Fault, Tried, faults_of
from tests.torture.oracles import MARK, nothing_left

_LARGEST = 9_912_422  # bytes of MNIST's largest file
_MOST_SENT = 4 * _LARGEST  # two attempts, and what is on its way when the reader stops
_ENOUGH = 200_000_000  # what "endless" sends at most
_END_SECONDS = 150.0
_PEAK_BYTES = 700 * 10**6  # of a process that has imported all of the bench
_CHUNK = b"\0" * 65536

Send = Callable[[bytes], None]


def _answer(status: str, headers: str = "", body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n".encode("latin-1") + body


def _endless(send: Send) -> None:
    send(_answer("200 OK"))
    while True:
        send(_CHUNK)


def _more_than_said(send: Send) -> None:
    send(_answer("200 OK", "Content-Length: 1000\r\n"))
    while True:
        send(_CHUNK)


def _said_much(send: Send) -> None:
    send(_answer("200 OK", f"Content-Length: {10**15}\r\n"))
    while True:
        send(_CHUNK)


def _slow(send: Send) -> None:
    send(_answer("200 OK", f"Content-Length: {_LARGEST}\r\n"))
    while True:
        send(b"x")
        time.sleep(1)


def _slow_headers(send: Send) -> None:
    send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        send(b"x")
        time.sleep(1)


def _endless_headers(send: Send) -> None:
    send(b"HTTP/1.1 200 OK\r\n")
    while True:
        send(b"X-Header: " + b"x" * 1000 + b"\r\n")


def _bomb(send: Send) -> None:
    send(_answer("200 OK", "Content-Encoding: gzip\r\n", _packed()))


@cache
def _packed() -> bytes:
    return gzip.compress(_CHUNK * 5000)  # 330 MB in 320 kB


def _silent(_send: Send) -> None:
    time.sleep(_END_SECONDS)


def _redirect(place: str) -> Callable[[Send], None]:
    return lambda send: send(_answer("302 Found", f"Location: {place}\r\n"))


def _once(content: bytes) -> Callable[[Send], None]:
    return lambda send: send(content)


_KINDS: dict[str, Callable[[Send], None]] = {
    "wrong": _once(_answer("200 OK", body=b"wrong")),
    "endless": _endless,
    "redirect to a file": _redirect("file:///etc/passwd"),
    "wrong of the right size": _once(_answer("200 OK", body=b"x" * _LARGEST)),
    "truncated": _once(_answer("200 OK", f"Content-Length: {_LARGEST}\r\n", b"x" * 1000)),
    "more than said": _more_than_said,
    "says 10^15 bytes": _said_much,
    "loop": _redirect("/again"),
    "redirect to ftp": _redirect("ftp://127.0.0.1/x"),
    "redirect to no host": _redirect(f"http://{MARK}.invalid/"),
    "redirect to 1 MB": _redirect("/" + "x" * 10**6),
    "404": _once(_answer("404 Not Found")),
    "500 in colours": _once(_answer(f"500 \x1b[2J{MARK}\x9b")),
    "empty": _once(b""),
    "no HTTP": _once(b"SSH-2.0-OpenSSH\r\n" * 100),
    "endless headers": _endless_headers,
    "bomb": _bomb,
    "negative size": _once(_answer("200 OK", "Content-Length: -5\r\n", b"x")),
    "bad chunks": _once(_answer("200 OK", "Transfer-Encoding: chunked\r\n", b"zz\r\nxx")),
    "silent": _silent,
    "slow": _slow,
    "slow headers": _slow_headers,
}
_NAMES = [*_KINDS]

GOAL, UNIT = 2 * len(_NAMES), "mirrors"
SLICE = (0, 1, 2)


def attempt(seed: int, folder: Path) -> Tried:
    """Fetch MNIST from one such mirror."""
    name = _NAMES[seed % len(_NAMES)]
    with _mirror(_KINDS[name]) as (address, sent):
        arguments = ["data", "fetch", Random(seed).choice(["mnist", "fashion-mnist"])]
        called = call(arguments, folder, mirror=address, seconds=_END_SECONDS)
        faults = [*called.faults]
    if called.code not in {1, 2}:
        faults.append(Fault("exit code", f"{called.code}: {called.errors[-300:]}"))
    if sum(sent) > _MOST_SENT:
        faults.append(Fault("took too much", f"{sum(sent) / 1e6:.0f} MB"))
    if called.peak_bytes > _PEAK_BYTES:
        faults.append(Fault("memory", f"{called.peak_bytes / 1e6:.0f} MB"))
    cache = folder / ".cache"
    left = [path for path in cache.rglob("*") if path.is_file()] if cache.exists() else []
    faults += nothing_left(folder)
    if left:
        faults.append(Fault("kept", f"{[path.name for path in left]}"))
    return Tried(1, faults_of(name, faults), [name])


@contextmanager
def _mirror(serve: Callable[[Send], None]) -> Iterator[tuple[str, list[int]]]:
    """A server that answers every request in one way; its address, and the bytes that it sent."""
    sent: list[int] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(_END_SECONDS)

            def send(content: bytes) -> None:
                if sum(sent) > _ENOUGH:
                    raise ConnectionAbortedError
                self.request.sendall(content)
                sent.append(len(content))

            with suppress(OSError):
                self.rfile.readline()
                serve(send)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close, allow_reuse_address = True, False, True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", sent
        server.shutdown()
