"""Makes the section that says why the results can be trusted.

It says what was the same for all backends of a run, by its records, and what was verified of each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from backends.defaults import SETTINGS
from backends.defaults_of import defaults_of
from backends.registry import BACKENDS, GAPS
from bench.records.job import Record, without_labels
from bench.records.verification import (
    Verification,
    deviation_of,
    say,
    verification_of,
)
from bench.report.form import words
from bench.report.form.document import Block, Folded, Heading, Table, Text
from bench.report.frame.agreement import disagreeing
from bench.report.run import Run
from bench.statistics.agreement import ACCURACY_MARGIN, LOSS_MARGIN, STANDARD_ERRORS
from bench.worker.verification.checks import CHECKS

_SAME = (
    "In matched mode every backend is given the same initial weights (drawn once in NumPy), the"
    " same batches in the same order, and the same update formulas with the same constants. The"
    " table counts the groups in which that was so, by checksums that the workers read back in this"
    " run; a group is here a workload with one batch size and one seed. Accuracy and loss are"
    " computed by the bench from the logits, after the last epoch."
    " Dropout differs: timed runs use each framework's own generator; its fraction and scale, and"
    " that masks are new in each step, are verified."
)
_VERIFICATION = (
    "The verification (`bench verify`) checks a backend against a reference in float64, through the"
    " very calls that are timed: its logits, and the loss and every weight after each of the first"
    " steps, for every layer, activation, loss, optimizer and initializer of the language; an epoch"
    " over a whole data set; that one call is as many steps, that exactly the ordered images are"
    " used, that the same seed repeats, that `sync` waits, and its own dropout. Figures are the"
    " largest deviation in units of the tolerance, each derived from float32's rounding: above 1 is"
    " a failure."
)
_DEFAULTS = (
    "What each framework does unless told otherwise, the value in the workload, and what we set."
    " The tests ask the installed frameworks for these defaults."
)


class _Backend(NamedTuple):
    """A backend on a device of a machine, which is verified or not."""

    backend: str
    device: str
    machine: str


class _Group(NamedTuple):
    """The jobs of one workload, data set, seed and batch size that began.

    Their backends, the checksums of their initial weights, and by the number of the epoch the
    checksums of the orders of their images.
    """

    backends: set[_Backend]
    weights: set[str]
    orders: dict[int, set[str]]


def section(run: Run) -> list[Block]:
    """What was the same in this run, what was verified, and (folded) the defaults and gaps."""
    applied = _applied(run)
    if not applied:
        return []
    names, groups, wrong = _names(list(applied)), _groups(run.records), disagreeing(run.jobs)
    columns = ("backend", "groups", "same initial weights", "same batches", "verification")
    rows = [
        (names[backend], *_row(backend, groups, verification, wrong.get(backend, [])))
        for backend, verification in applied.items()
    ]
    deviations = [
        (names[backend], *(words.tolerances(deviation_of(verification, check)) for check in CHECKS))
        for backend, verification in applied.items()
        if verification is not None
    ]
    known = list(dict.fromkeys(name.backend for name in applied if name.backend in BACKENDS))
    return [
        Heading("Can I trust this?", 2),
        Text(_finding(run)),
        Table(columns, tuple(rows)),
        Table(("largest deviation", *CHECKS), tuple(deviations)),
        Folded("What is the same, and what is verified", [Text(_SAME), Text(_VERIFICATION)]),
        Folded("Defaults: what each framework would have done, and what we set", _defaults(known)),
        Folded("Gaps: what a backend does not do, or was not verified to do", _gaps(known)),
    ]


def _finding(run: Run) -> str:
    agrees = run.jobs["agrees"].dropna()
    if agrees.empty:
        return "No result was compared with another backend."
    if not agrees.all():
        return f"{len(agrees) - agrees.sum()} of {len(agrees)} results disagree; see the red box."
    return (
        f"None of {len(agrees)} results is far from the other backends: no loss of the first epoch"
        f" is more than {100 * LOSS_MARGIN:g} % off, and no accuracy is lower by more than"
        f" {STANDARD_ERRORS:g} standard errors and {100 * ACCURACY_MARGIN:g} percentage points."
    )


def verification_line(run: Run) -> str:
    """One line for a terminal: which of a run's backends are verified on this machine.

    It also says which backends disagree, and last what to run to verify the rest.
    """
    line = _verification_line(_applied(run))
    wrong = disagreeing(run.jobs)
    but = "; ".join(f"{backend[0]} disagrees here on {_and(on)}" for backend, on in wrong.items())
    if not but:
        return line
    # A line that ends with a command keeps it at the end.
    return f"{line} But {but}." if line.endswith(".") else f"{but}. {line}"


def _verification_line(applied: dict[_Backend, Verification | None]) -> str:
    verdicts = {backend: found and found.verdict for backend, found in applied.items()}
    wrong = [backend.backend for backend, verdict in verdicts.items() if verdict == "not equal"]
    if wrong:
        names = ", ".join(dict.fromkeys(wrong))
        return f"NOT EQUAL to the reference on this machine: {names}. See the report."
    left = dict.fromkeys(
        backend.backend
        for backend, verdict in verdicts.items()
        if verdict != "verified" and backend.backend != "reference"
    )
    if left:
        not_all = len(left) < len({backend.backend for backend in applied})
        some = f" --backend {','.join(left)}" if not_all else ""
        return f"Not verified here: {', '.join(left)}. Run: `bench verify{some}`"
    if any(backend.backend != "reference" for backend in applied):
        return "All backends are verified against the float64 reference on this machine."
    return ""


_WORST_FIRST = ("not equal", None, "not verified", "verified")


def _applied(run: Run) -> dict[_Backend, Verification | None]:
    """Per matched backend the worst verification of its records (see `_WORST_FIRST`), or None."""
    applied: dict[_Backend, list[Verification | None]] = defaultdict(list)
    for record in run.made_with:
        if record.job.mode == "matched" and record.status != "unsupported":
            applied[_backend(record)].append(verification_of(record, run.verifications))
    return {
        backend: min(own, key=lambda found: _WORST_FIRST.index(found and found.verdict))
        for backend, own in applied.items()
    }


def _names(backends: Sequence[_Backend]) -> dict[_Backend, str]:
    """The name of each backend, with device and machine where there are several."""
    devices, machines = ({backend[part] for backend in backends} for part in (1, 2))
    return {
        backend: " ".join(
            [
                backend.backend,
                *[backend.device] * (len(devices) > 1),
                *[backend.machine] * (len(machines) > 1),
            ]
        )
        for backend in backends
    }


def _groups(records: Iterable[Record]) -> list[_Group]:
    groups: dict[object, _Group] = defaultdict(lambda: _Group(set(), set(), defaultdict(set)))
    for record in records:
        job, startup = record.job, record.startup
        if job.mode == "matched" and startup is not None:
            key = without_labels(job.workload), record.data.checksum, job.seed, job.batch_size
            group = groups[key]
            group.backends.add(_backend(record))
            group.weights.add(startup.weights_checksum)
            for epoch in record.epochs:
                group.orders[epoch.number].add(epoch.order_checksum)
    return list(groups.values())


def _row(
    backend: _Backend,
    groups: Iterable[_Group],
    verification: Verification | None,
    wrong_on: Sequence[str],
) -> tuple[str, ...]:
    """One backend's row: its groups, how many had equal weights and batches, its verification."""
    own = [group for group in groups if backend in group.backends]
    shared = [group for group in own if len(group.backends) > 1]
    weights = sum(len(group.weights) == 1 for group in shared)
    orders = sum(map(_same_order, shared))
    of = f" of {len(shared)}"
    same = (f"{weights}{of}", f"{orders}{of}") if shared else ("no other backend",) * 2
    but = f"; but it disagrees here on {_and(wrong_on)}" if wrong_on else ""
    return (str(len(own)), *same, f"{_verdict(verification, backend.backend)}{but}")


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _same_order(group: _Group) -> bool:
    """Whether all that reached an epoch saw the same images in the same order in it."""
    return all(len(orders) == 1 for orders in group.orders.values())


def _backend(record: Record) -> _Backend:
    return _Backend(record.job.backend, record.job.device, record.machine.name)


def _verdict(verification: Verification | None, backend: str) -> str:
    if backend == "reference":
        return "it is the reference"
    if backend not in BACKENDS:
        return "not a backend of this version of framework-bench"
    if verification is None:
        return (
            "not verified for this machine, these versions and this adapter. Run:"
            f" `bench verify --backend {backend}`"
        )
    if verification.verdict != "verified" or verification.worst is None:
        return say(verification)
    share = words.tolerances(verification.worst[1].deviation)
    return f"verified on this machine on {verification.started[:10]}, to {share} of the tolerance"


def _defaults(backends: Sequence[str]) -> list[Block]:
    """A row per setting and per way that backends deal with it, with the names of these."""
    defaults = {
        name: {default.setting: default for default in defaults_of(name)} for name in backends
    }
    rows: list[tuple[str, ...]] = []
    for setting in SETTINGS:
        ways: dict[tuple[str, str], list[str]] = defaultdict(list)
        for backend, own in defaults.items():
            if default := own.get(setting.name):
                ways[default.text, default.ours].append(backend)
        for place, ((text, ours), names) in enumerate(ways.items()):
            first = (setting.name, setting.workload_value) if place == 0 else ("", "")
            rows.append((*first, ", ".join(names), text, ours))
    columns = ("setting", "workload value", "backends", "default", "what we set")
    return [Text(_DEFAULTS), Table(columns, tuple(rows))]


def _gaps(backends: Sequence[str]) -> list[Block]:
    rows = [
        (backend, feature, gap.kind, gap.reason)
        for backend in backends
        for feature, gap in GAPS.get(backend, {}).items()
    ]
    return [Table(("backend", "feature", "gap", "why"), tuple(rows))]
