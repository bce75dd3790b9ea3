"""Damaged and hostile copies of real records: what a seed changes, and in what way."""

from __future__ import annotations

import copy
import json
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.torture.oracles import MARK

# Numbers as they stand in a file: JSON's own, and what only some readers take.
_NUMBERS = (
    *("0", "-0.0", "1", "-1", "-5", "0.5", "2", "1e-320", "5e-324", "1e308", "-1e308", "1e400"),
    *("-1e400", "NaN", "Infinity", "-Infinity", "2147483648", "9007199254740993"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", f"1{'0' * 400}"),
    *("1e5", "1e15", "1000000", "1.5", "1e9", "1e-9"),
)
_OTHERS = ("null", "true", "false", '""', '"5"', "[]", "{}", "[null]", '{"a": 1}', "[[]]")
_TEXTS = (
    "\x1b[2J\x1b]0;%s\x07", "\x9b2J%s", "a\x00%s", "\r%s", "\x7f%s", "\u202e%s\u2066", "\ud800%s",
    "<%s>", "<script>%s()</script><%s>", "</script><%s>", "</title></style><%s>", "<!--%s-->",
    '" %s="1', "' %s='1", "<img src=x onerror=%s() %s=1>", "&lt;%s&gt;", "<svg/%s=1>",
    "\n\n<%s>",
    "![](http://%s.example/x.png)", "[a](javascript:%s())", "`<%s>`", "| a | <%s> |\n",
    "``` <%s>", "\\`<%s>", "](http://%s.example) <%s>",
    "=cmd|' /C calc'!%s", "+%s", "-%s", "@%s", "\t=%s",
    "\\%s{x}", "}\\%s{", "$%s$", "%% %s", "^^41%s", "$\\frac{$%s", "_%s",
    "\\input{/etc/passwd}\\%s",
    "]]><%s>", "<![CDATA[%s", "&%s;", "<!DOCTYPE a [<!ENTITY %s SYSTEM 'file:///etc/passwd'>]>",
    "../../outside/%s", "/tmp/torture-outside/%s", "..", ".", "/", "con/%s\\x",
    "file:///etc/%s", "%s" * 40,
    "\u00e9\u4e2d\U0001f600%s", "%%s%%n{0}{__class__}%s", "${jndi:%s}", "$(%s)", "`%s`",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-13-45T99:99:99Z", "-2026-01-01%s", "",
)  # fmt: skip
_WHOLE = tuple(number for number in _NUMBERS if number.lstrip("-").isdecimal())
_STATUSES = ("unsupported", "failed", "timeout", "killed", "diverged", "out of memory")
# Places that tables, figures or names of files are made of; half of all changes are there.
_SHOWN = frozenset(
    (
        *("name", "system", "cpu", "backend", "device", "reason", "details", "status", "started"),
        *("title", "source", "settings", "versions", "variables", "dropped", "threads", "round"),
        *("wall_seconds", "cpu_seconds", "peak_rss_bytes", "test_examples", "train_examples"),
        *("test_accuracy", "train_accuracy", "test_loss", "train_loss", "running_loss", "checksum"),
        *("device_peak_bytes", "load_average", "memory_bytes", "batch_size", "epochs", "seed"),
        *("target_accuracy", "accuracy", "deviations", "steps", "findings", "deviation", "where"),
        *("share", "turns", "orders", "refused", "waited_seconds", "reached", "work", "seconds"),
        *("size", "wall", "disturbed", "workload", "dataset", "ended", "model", "environment"),
        *("other_cpu", "steal", "frequency", "not_verified", "weights_checksum", "units"),
    )
)
_HUGE = (10_000, 100_000, 1_000_000, 20_000_000)  # characters
_DEEP = (30, 200, 2_000, 200_000)
_RAW = "raw:"  # what begins with it is written without quotes


def hostile_text(random: Random) -> str:
    """A text that does something where it is not only shown; MARK tells that it did."""
    text = random.choice(_TEXTS).replace("%s", MARK).replace("%%", "%")
    if random.random() < 0.05:
        return (text or MARK) * (random.choice(_HUGE) // len(text or MARK))
    return text


def damage(record: dict[str, Any], random: Random) -> tuple[bytes, str]:
    """A damaged copy of a record as the content of a file, and what was changed in it."""
    copied, said = copy.deepcopy(record), []
    said += [_change(copied, random) for _ in range(random.choice((1, 1, 1, 1, 2, 3)))]
    content = _encode(copied)
    if random.random() < 0.05:
        content, how = _damage_bytes(content, random)
        said.append(how)
    return content, "; ".join(said)


def odd_things(folder: Path) -> dict[Path, str]:
    """Put one of each thing into a folder that is no regular file of sane size; says what."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for number, (name, make) in enumerate(_THINGS.items()):
        path = folder / f"thing{number}.json"
        make(path)
        made[path] = name
    return made


def _change(record: dict[str, Any], random: Random) -> str:
    """Change one place of a record; says what."""
    places = defaultdict(list)
    for place in _places(record):
        places[tuple("*" if isinstance(step, int) else step for step in place)].append(place)
    shown = [kind for kind in places if _SHOWN & {*kind[-2:]}]
    among = shown if shown and random.random() < 0.7 else [*places]
    where = random.choice(places[random.choice(among)])
    parent = record
    for step in where[:-1]:
        parent = parent[step]
    name, at = ".".join(map(str, where)), where[-1]
    action = random.random()
    if at == "status" and action < 0.8:
        parent[at] = random.choice(_STATUSES)
        return f"{name}: {parent[at]}"
    if action < 0.04:
        del parent[at]
        return f"{name}: removed"
    if action < 0.06 and isinstance(parent, dict):
        parent[hostile_text(random)[:1000]] = parent.pop(at)
        return f"{name}: renamed"
    if action < 0.08:
        depth, pair = random.choice(_DEEP), random.choice(("[]", ('{"a":', "}")))
        parent[at] = f"{_RAW}{pair[0] * depth}1{pair[1] * depth}"
        return f"{name}: {depth} deep"
    before, parent[at] = parent[at], _other_value(parent[at], random)
    if isinstance(before, list) and isinstance(parent[at], list):
        return f"{name}: a list of {len(before)} is one of {len(parent[at])}, or reversed"
    return f"{name}: {ascii(parent[at])[:120]}"


def _other_value(value: Any, random: Random) -> Any:
    """Another value for a place; mostly one of the same type, as others are soon refused."""
    same = random.random() < 0.9
    if isinstance(value, str) and same:
        return hostile_text(random)
    if isinstance(value, bool) and same:
        return not value
    if isinstance(value, int) and same:
        return _RAW + random.choice(_WHOLE)
    if isinstance(value, float) and same:
        return _RAW + random.choice(_NUMBERS)
    if isinstance(value, list) and same:
        kinds = (list, lambda: value * 2, lambda: value[::-1], lambda: value[:1])
        return random.choice((*kinds, lambda: value * (20_000 // max(len(value), 1))))()
    if isinstance(value, dict) and same:
        return {**value, hostile_text(random)[:1000]: random.choice([*value.values(), None])}
    raw = random.choice((*_NUMBERS, *_OTHERS))
    return hostile_text(random) if random.random() < 0.3 else _RAW + raw


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a record, except the file's own name."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in steps:
        if above or step != "key":
            yield (*above, step)
        if isinstance(inner, (dict, list)):
            yield from _places(inner, (*above, step))


def _encode(value: Any) -> bytes:
    """JSON with what begins with `_RAW` written as it is."""
    if isinstance(value, dict):
        parts = [_encode(name) + b":" + _encode(inner) for name, inner in value.items()]
        return b"{" + b",\n".join(parts) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_encode, value)) + b"]"
    if isinstance(value, str) and value.startswith(_RAW):
        return value.removeprefix(_RAW).encode()
    if isinstance(value, str) and MARK in value:  # unescaped where JSON allows it
        escaped = json.dumps(value, ensure_ascii=False)
        return escaped.encode("utf-8", "surrogatepass")
    return json.dumps(value).encode()


def _damage_bytes(content: bytes, random: Random) -> tuple[bytes, str]:
    at = random.randrange(len(content))
    kinds = {
        "truncated": lambda: content[:at],
        "a byte flipped": lambda: (
            content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]
        ),
        "twice": lambda: content + content,
        "UTF-16": lambda: content.decode("utf-8", "replace").encode("utf-16"),
        "with a BOM": lambda: b"\xef\xbb\xbf" + content,
        "NUL bytes": lambda: content[:at] + b"\0" * 5000,
        "random": partial(random.randbytes, 5000),
        "empty": bytes,
        "in a list": lambda: b"[" + content + b"]",
        "keys twice": lambda: b'{"status":"ok","reason":1,' + content[1:],
    }
    name = random.choice([*kinds])
    return kinds[name](), name


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


def make_socket(path: Path) -> None:
    """Make a socket; nobody listens to it."""
    with socket.socket(socket.AF_UNIX) as made:
        before = Path.cwd()
        os.chdir(path.parent)  # the address of a socket may have 107 characters
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


_THINGS: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "link to /dev/stdin": lambda path: path.symlink_to("/dev/stdin"),
    "link to /etc/passwd": lambda path: path.symlink_to("/etc/passwd"),
    "pipe": os.mkfifo,
    "socket": make_socket,
    "10 GB of nothing": _sparse,
    "unreadable": lambda path: (path.write_bytes(b"{}"), path.chmod(0)),
}
