"""Damaged and hostile records against every command that reads records.

A run has three healthy records of one workload, and a batch of hostile ones of others. Every
command must end in time with the healthy ones reported, and with nothing that a text does. Where a
command fails, what can be left out of its batch is, until it fails no more.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from bench.machine.disturbance import Disturbance
from bench.records.files import PROJECT
from bench.records.noise import Calibration
from bench.records.turns import Member, Turns
from bench.worker.lines import Turn
from tests.support.records import a_machine, made_limits, made_verification
from tests.torture.calls import Called, call
from tests.torture.campaign import Fault, Tried
from tests.torture.mutations import damage, hostile_text, make_socket, odd_things
from tests.torture.oracles import (
    healthy_reported,
    inert_csv,
    inert_html,
    inert_latex,
    inert_markdown,
    sound_xml,
)

GOAL, UNIT = 1000, "records"
SLICE = (7,)
_BATCH = 16
_OF_THINGS = 8  # of so many batches one has also what is no regular file
_HEALTHY = "mlp-relu"  # the workload of the healthy records
_KINDS = ("jobs",) * 6 + ("limits", "turns", "verifications", "noise")


class _Reader(NamedTuple):
    """A command that reads records.

    Attributes:
        arguments: RUN and GOOD stand for the runs with hostile records and without, OUT for an
            empty folder.
        writes: where it may write: names in the folder of a call.
        check: looks at what it wrote.
    """

    arguments: str
    writes: tuple[str, ...] = ("out",)
    check: Callable[[Path, Called], Iterator[Fault]] | None = None


def attempt(seed: int, folder: Path) -> Tried:
    """A batch of hostile records, against every command."""
    made = _make(seed, folder / "made")
    faults, guilty = [], dict[tuple[str, str], list[Path]]()
    for name, reader in _READERS.items():
        for fault in _faults(reader, folder / name, [*made]):
            alike = (fault.oracle, fault.text.partition("\n")[0])  # of another command
            if alike not in guilty:
                guilty[alike] = _guilty(reader, folder / f"{name}.less", fault.oracle, [*made])
            what = " + ".join(f"{path.parent.name}: {made[path]}" for path in guilty[alike])
            faults.append(Fault(fault.oracle, f"{name}: {what[:800]}\n{fault.text}"))
    return Tried(len(made), faults, sorted({path.parent.name for path in made}))


def _make(seed: int, folder: Path) -> dict[Path, str]:
    """Make hostile files of every kind; returns each with what is wrong with it."""
    random, made = Random(seed), {}
    for number in range(_BATCH):
        kind, name = random.choice(_KINDS), f"hostile{number}"
        path = folder / kind / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        record = dict(random.choice(_originals()[kind]), key=name)
        if kind == "jobs" and number % 2:  # of two records of one job only the newer one counts
            record["job"] = {**record["job"], "seed": number}
        content, made[path] = damage(record, random)
        path.write_bytes(content)
    if seed % _OF_THINGS == _OF_THINGS - 1:
        made |= odd_things(folder / random.choice(_KINDS))
    return made


@cache
def _originals() -> dict[str, list[dict[str, Any]]]:
    """Real or made-up records of every kind, as JSON has them."""
    quick = [json.loads(path.read_bytes()) for path in _quick() if _HEALTHY not in path.name]
    native = sorted((PROJECT / "results" / "native" / "jobs").glob("*.json"))[:3]
    turn = Turn(wall_seconds=0.5, cpu_seconds=0.5, waited_seconds=0.5, waited_cpu_seconds=0.0)
    undisturbed = Disturbance(
        other_cpu=0.0, steal=0.0, frequency=1.0, gpu_processes=None, gpu_throttled=None
    )
    jobs = sorted(path.stem for path in _quick() if _HEALTHY in path.name)[:2]
    members = tuple(
        Member(job=job, backend=job.split(".")[1], is_new=False, share=1.0, turns=(turn,) * 9)
        for job in jobs
    )
    common = {"key": "k", "machine": a_machine(), "versions": {"numpy": "2.0"}}
    turns = Turns(
        **common, format=Turns.FORMAT, members=members, orders=((0, 1),) * 9, refused="",
        disturbance=undisturbed, started="2026-01-01T00:00:00Z", wall_seconds=9.0,
    )  # fmt: skip
    noise = Calibration(
        **common, format=Calibration.FORMAT, device="cpu", threads=2, backend="pytorch",
        workload="softmax", dataset="mnist-5k", epochs=5, batch_size=128, wall=(0.01, -0.02, 0.03),
        cpu=(0.01, -0.02, 0.03), disturbed=0, ended="2026-01-01T00:00:00Z", turns=(0.01, 0.02),
    )  # fmt: skip
    made = {
        "limits": made_limits(environment="torch"),
        "turns": turns,
        "verifications": made_verification(),
        "noise": noise,
    }
    return {
        "jobs": quick + [json.loads(path.read_bytes()) for path in native],
        **{kind: [json.loads(msgspec.json.encode(record))] for kind, record in made.items()},
    }


def _quick() -> list[Path]:
    return sorted((PROJECT / "results" / "baselines" / "quick" / "jobs").glob("*.json"))


def _healthy_files() -> list[Path]:
    return [path for path in _quick() if _HEALTHY in path.name][:3]


def _world(folder: Path, hostile: Sequence[Path]) -> dict[str, Path]:
    """A folder for calls: a run with these hostile files, one without, and an empty folder."""
    folder.mkdir(parents=True)
    places = {name: folder / "results" / name for name in ("run", "good")}
    for place in places.values():
        (place / "jobs").mkdir(parents=True)
        for path in _healthy_files():
            shutil.copy(path, place / "jobs")
    for path in hostile:
        near = "results" if path.parent.name == "verifications" else "results/run"
        target = folder / near / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() and not target.is_symlink():
            _copy(path, target)
    text = hostile_text(Random(len(hostile)))[:2000].encode("utf-8", "surrogatepass")
    (places["run"] / "command.txt").write_bytes(b"bench run " + text)
    return {**places, "out": folder / "out"}


def _copy(path: Path, target: Path) -> None:
    """The same thing at another place; a link stays a link."""

    if path.is_fifo():
        os.mkfifo(target)
    elif path.is_socket():
        make_socket(target)
    elif path.is_symlink():
        target.symlink_to(path.readlink())
    elif path.is_dir():
        target.mkdir()
    else:
        os.link(path, target)


def _faults(reader: _Reader, folder: Path, hostile: Sequence[Path]) -> list[Fault]:
    """What one command does wrong with these files."""
    shutil.rmtree(folder, ignore_errors=True)
    world = _world(folder, hostile)
    names = {"RUN": world["run"], "GOOD": world["good"], "OUT": world["out"]}
    arguments = [_placed(word, names) for word in reader.arguments.split()]
    called = call(arguments, folder, [folder / name for name in reader.writes])
    faults = [*called.faults]
    if called.code == 2:
        faults.append(Fault("refused", f"exit code 2: {called.errors[-300:]}"))
    if not faults and reader.check is not None:
        faults += reader.check(folder, called)
    shutil.rmtree(folder, ignore_errors=True)
    return faults


def _placed(word: str, names: dict[str, Path]) -> str:
    head, slash, rest = word.partition("/")
    return f"{names[head]}{slash}{rest}" if head in names else word


def _guilty(reader: _Reader, folder: Path, oracle: str, files: list[Path]) -> list[Path]:
    """The fewest files with which a command fails in the same way: what can be left out is."""
    size = len(files) // 2
    while size:
        for start in range(0, len(files), size):
            fewer = files[:start] + files[start + size :]
            if any(fault.oracle == oracle for fault in _faults(reader, folder, fewer)):
                files = fewer
                break
        else:
            size //= 2
    return files


def _report(folder: Path, _: Called) -> Iterator[Fault]:
    run = folder / "results" / "run"
    yield from inert_html((run / "report.html").read_text("utf-8", "replace"), "report.html")
    yield from inert_markdown((run / "report.md").read_text("utf-8", "replace"), "report.md")
    for name in ("summary.csv", "epochs.csv"):
        yield from inert_csv((run / name).read_text("utf-8", "replace"), name)
    with (run / "summary.csv").open(newline="", errors="replace") as file:
        rows = (f"{row['backend']} {row['workload']}" for row in csv.DictReader(file))
        yield from healthy_reported(rows, _names(" "), "summary.csv")


def _names(between: str) -> Counter[str]:
    """The healthy records as a report names them: backend and workload."""
    names = (path.name.split(".")[:2] for path in _healthy_files())
    return Counter(f"{backend}{between}{workload}" for workload, backend in names)


def _jsonl(folder: Path, _: Called) -> Iterator[Fault]:
    lines = (folder / "out" / "file").read_bytes().splitlines()
    keys = (json.loads(line)["key"] for line in lines)
    yield from healthy_reported(keys, Counter(p.stem for p in _healthy_files()), "jsonl")


def _csv(folder: Path, _: Called) -> Iterator[Fault]:
    text = (folder / "out" / "file").read_text("utf-8", "replace")
    yield from inert_csv(text, "csv")
    rows = (f"{row['backend']} {row['workload']}" for row in csv.DictReader(io.StringIO(text)))
    yield from healthy_reported(rows, _names(" "), "csv")


def _latex(folder: Path, _: Called) -> Iterator[Fault]:
    yield from inert_latex((folder / "out" / "file").read_text("utf-8", "replace"), "latex")


def _check(folder: Path, called: Called) -> Iterator[Fault]:
    place = folder / "results" / ("run" if "results/run against" in _title(folder) else "good")
    yield from sound_xml((place / "check.xml").read_bytes(), "check.xml")
    yield from inert_markdown((place / "check.md").read_text("utf-8", "replace"), "check.md")
    shown = [path.name.split(".")[1] for path in _healthy_files()]
    yield from healthy_reported(
        iter([name for name in shown if name in called.output]), Counter(shown), "check"
    )


def _title(folder: Path) -> str:
    path = folder / "results" / "run" / "check.md"
    return path.read_text("utf-8", "replace") if path.exists() else ""


def _document(folder: Path, _: Called) -> Iterator[Fault]:
    for path in sorted((folder / "out").rglob("*.*")):
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        if path.suffix == ".html":
            yield from inert_html(text, path.name)
        if path.suffix == ".md":
            yield from inert_markdown(text, path.name)
        if path.suffix == ".csv":
            yield from inert_csv(text, path.name)
        if path.suffix == ".tex":
            yield from inert_latex(text, path.name)


_RUN = ("results/run", "results/calibrations", "results/proofs", "results/noise")
_READERS = {
    "report": _Reader("report RUN", _RUN, _report),
    "report --full": _Reader("report RUN --full", _RUN),
    "check": _Reader("check RUN --against GOOD", ("results/run",), _check),
    "check against": _Reader("check GOOD --against RUN", ("results/good",), _check),
    "compare": _Reader("compare GOOD RUN --output OUT", ("out",), _document),
    "history": _Reader("history GOOD RUN --output OUT", ("out",), _document),
    "export jsonl": _Reader("export RUN --output OUT/file", ("out",), _jsonl),
    "export csv": _Reader("export RUN --format csv --output OUT/file", ("out",), _csv),
    "export latex": _Reader("export RUN --format latex --output OUT/file", ("out",), _latex),
    "export pytest-benchmark": _Reader("export RUN --pytest-benchmark --output OUT/file"),
    "overview": _Reader("overview RUN --output OUT", ("out",), _document),
    "overview html": _Reader("overview RUN --format html --output OUT", ("out",), _document),
    "overview beamer": _Reader("overview RUN --format beamer --output OUT", ("out",), _document),
}
