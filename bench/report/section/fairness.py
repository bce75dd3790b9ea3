"""Makes the section that says why the comparison is fair.

It says what was alike for all contestants of a run, by its records, and what was verified of each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from backends.defaults import SETTINGS
from backends.defaults_of import defaults_of
from backends.registry import BACKENDS, GAPS
from bench.records.job import Record, meaning
from bench.records.verification import Verification, deviation_of, one_of_each, say, verification_of
from bench.report.form import words
from bench.report.form.document import Block, Folded, Heading, Table, Text
from bench.report.frame.agreement import Wrong
from bench.worker.verification.checks import CHECKS

_ALIKE = (
    "In matched mode every backend is given the same initial weights (drawn once in NumPy), the"
    " same batches in the same order, and the same update formulas with the same constants. The"
    " table says how far that was so: by checksums that the workers read back in this run, and by a"
    " verification. Accuracy and loss were computed by the bench from the logits, of the last"
    " epoch, never"
    " of the best. What differs is dropout: timed runs use each framework's own generator, whose"
    " share, scale and freshness the verification checks."
)
_VERIFICATION = (
    "The verification (`bench verify`) holds a backend to a reference in float64, through the"
    " very calls"
    " that are timed: its logits, and the loss and every weight after each of the first steps, for"
    " every layer, activation, loss, optimizer and initializer of the language; an epoch over a"
    " whole data set; that one call is as many steps, that exactly the ordered images are used,"
    " that the same seed repeats, that `sync` waits, and its own dropout. Figures are the largest"
    " deviation in units of the tolerance, each derived from float32's rounding: above 1 is a"
    " failure."
)
_CONTRACT = (
    "What each framework does unless told, what the workload or its language says, and what the"
    " adapter does about it. The tests ask the installed frameworks for these defaults."
)


class _Contestant(NamedTuple):
    """A backend on a device of a machine, which is verified or not."""

    backend: str
    device: str
    machine: str


class _Race(NamedTuple):
    """The jobs of one workload, data set, seed and batch size that began.

    Their contestants, the checksums of their initial weights, and by the number of the epoch the
    checksums of the orders of their images.
    """

    who: set[_Contestant]
    weights: set[str]
    orders: dict[int, set[str]]


def fairness_blocks(
    records: Sequence[Record], verifications: Sequence[Verification], wrong: Wrong
) -> list[Block]:
    """What was alike in this run, what was verified, and (folded) the defaults and gaps.

    Args:
        records: the run's records.
        verifications: all verifications that may apply to them.
        wrong: see `agreement.disagreeing`; it is said beside the verification's verdict.
    """
    matched = [record for record in records if record.job.mode == "matched"]
    applied = _applied(matched, verifications)
    if not applied:
        return []
    names, races = _names(list(applied)), _races(matched)
    columns = ("backend", "races", "same initial weights", "same batches", "equal to the reference")
    rows = [
        (names[who], *_row(who, races, verification, wrong.get(who, [])))
        for who, verification in applied.items()
    ]
    blocks: list[Block] = [
        Heading("Why the comparison is fair", 2),
        Text(_ALIKE),
        Table(columns, tuple(rows)),
        Text(_VERIFICATION),
    ]
    found = [
        (names[who], *(words.tolerances(deviation_of(verification, check)) for check in CHECKS))
        for who, verification in applied.items()
        if verification is not None
    ]
    if found:
        blocks.append(Table(("largest deviation", *CHECKS), tuple(found)))
    known = list(dict.fromkeys(who.backend for who in applied if who.backend in BACKENDS))
    return [
        *blocks,
        Folded(
            "The contract: what each framework would have done, and what it was made to do",
            _contract(known),
        ),
        Folded("Gaps: what a backend does not do, or was not verified to", _gaps(known)),
    ]


def verification_line(
    records: Sequence[Record], verifications: Sequence[Verification], wrong: Wrong
) -> str:
    """One line for a terminal: which of a run's backends are verified on this machine.

    It also says which backends disagree, and last what to type to verify the rest.
    """
    line = _verification_line(records, verifications)
    but = "; ".join(f"{who[0]} disagrees here on {_and(on)}" for who, on in wrong.items())
    if not but:
        return line
    # A line without a full stop ends with the command to type, which stays at the end.
    return f"{line} But {but}." if line.endswith(".") else f"{but}. {line}"


def _verification_line(records: Sequence[Record], verifications: Sequence[Verification]) -> str:
    applied = _applied(
        [record for record in records if record.job.mode == "matched"], verifications
    )
    wrong = [
        who.backend
        for who, verification in applied.items()
        if verification is not None and verification.verdict == "not equal"
    ]
    if wrong:
        names = ", ".join(dict.fromkeys(wrong))
        return f"NOT EQUAL to the reference on this machine: {names}. See the report."
    left = [
        who.backend
        for who, verification in applied.items()
        if (verification is None or verification.verdict != "verified")
        and who.backend != "reference"
    ]
    left = list(dict.fromkeys(left))
    if left:
        not_all = len(left) < len({who.backend for who in applied})
        some = f" --backend {','.join(left)}" if not_all else ""
        return (
            f"Not verified equal to the reference here: {', '.join(left)}. Type: bench verify{some}"
        )
    return (
        "ModelFindings equal to the float64 reference on this machine: all backends."
        if applied
        else ""
    )


_WORST_FIRST = ("not equal", None, "not verified", "verified")


def _applied(
    records: Iterable[Record], verifications: Sequence[Verification]
) -> dict[_Contestant, Verification | None]:
    """Per backend the worst verification of its records (see `_WORST_FIRST`), or None."""
    found: dict[_Contestant, list[Verification | None]] = defaultdict(list)
    for record in one_of_each(records):
        if record.status != "unsupported":
            found[_who(record)].append(verification_of(record, verifications))
    return {
        who: min(
            own, key=lambda verification: _WORST_FIRST.index(verification and verification.verdict)
        )
        for who, own in found.items()
    }


def _names(contestants: Sequence[_Contestant]) -> dict[_Contestant, str]:
    """The name of each contestant: the backend, with device and machine where there are several."""
    devices, machines = ({who[part] for who in contestants} for part in (1, 2))
    return {
        who: " ".join(
            [who.backend, *[who.device] * (len(devices) > 1), *[who.machine] * (len(machines) > 1)]
        )
        for who in contestants
    }


def _races(records: Iterable[Record]) -> list[_Race]:
    races: dict[object, _Race] = defaultdict(lambda: _Race(set(), set(), defaultdict(set)))
    what = cache(meaning)  # many records have few workloads
    for record in records:
        job, startup = record.job, record.startup
        if startup is not None:
            race = races[what(job.workload), record.data.checksum, job.seed, job.batch_size]
            race.who.add(_who(record))
            race.weights.add(startup.weights_checksum)
            for epoch in record.epochs:
                race.orders[epoch.number].add(epoch.order_checksum)
    return list(races.values())


def _row(
    who: _Contestant,
    races: Iterable[_Race],
    verification: Verification | None,
    wrong_on: Sequence[str],
) -> tuple[str, ...]:
    """One backend's row: its groups, how many had equal weights and batches, its verification."""
    own = [race for race in races if who in race.who]
    contested = [race for race in own if len(race.who) > 1]
    weights = sum(len(race.weights) == 1 for race in contested)
    orders = sum(map(_same_order, contested))
    of = f" of {len(contested)}"
    alike = (f"{weights}{of}", f"{orders}{of}") if contested else ("raced alone", "raced alone")
    but = f"; but it disagrees here on {_and(wrong_on)}" if wrong_on else ""
    return (str(len(own)), *alike, f"{_verdict(verification, who.backend)}{but}")


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _same_order(race: _Race) -> bool:
    """Whether all that reached an epoch saw the same images in the same order in it."""
    return all(len(orders) == 1 for orders in race.orders.values())


def _who(record: Record) -> _Contestant:
    return _Contestant(record.job.backend, record.job.device, record.machine.name)


def _verdict(verification: Verification | None, backend: str) -> str:
    if backend == "reference":
        return "it is the reference"
    if backend not in BACKENDS:
        return "not a backend of this version of the bench"
    if verification is None:
        return (
            "not verified for this machine, these versions and this adapter:"
            f" `bench verify --backend {backend}`"
        )
    if verification.verdict != "verified" or verification.worst is None:
        return say(verification)
    share = words.tolerances(verification.worst[1].deviation)
    return f"verified on this machine on {verification.started[:10]}, to {share} of the tolerance"


def _contract(backends: Sequence[str]) -> list[Block]:
    """A row per term and per way that backends deal with it, with the names of these backends."""
    defaults = {
        name: {default.setting: default for default in defaults_of(name)} for name in backends
    }
    rows: list[tuple[str, ...]] = []
    for setting in SETTINGS:
        ways: dict[tuple[str, str], list[str]] = defaultdict(list)
        for backend, own in defaults.items():
            if default := own.get(setting.name):
                ways[default.text, default.ours].append(backend)
        for place, ((text, ours), who) in enumerate(ways.items()):
            first = (setting.name, setting.workload_value) if place == 0 else ("", "")
            rows.append((*first, ", ".join(who), text, ours))
    return [
        Text(_CONTRACT),
        Table(("term", "the spec says", "backends", "default", "enforced"), tuple(rows)),
    ]


def _gaps(backends: Sequence[str]) -> list[Block]:
    rows = [
        (backend, feature, gap.kind, gap.reason)
        for backend in backends
        for feature, gap in GAPS.get(backend, {}).items()
    ]
    return [Table(("backend", "feature", "gap", "why"), tuple(rows))]
