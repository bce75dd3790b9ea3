"""Makes the section that says why the results can be trusted.

It shows, from the records, what was equal for all backends of a run, and what was verified.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from msgspec.structs import replace

from backends.contract import Job, kind_of
from backends.registry import BACKENDS
from bench.records.job import Record, in_precision, without_labels
from bench.records.verification import (
    Verification,
    deviation_of,
    say,
    verification_of,
)
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Table, Text
from bench.report.frame.doubts import EXCLUDED, doubts_of, headline
from bench.report.run import Run
from bench.report.section.defaults import defaults, gaps
from bench.statistics.agreement import ACCURACY_MARGIN, STANDARD_ERRORS
from bench.worker.lines import JobVerification
from bench.worker.verification.checks import CHECKS

_SAME = (
    "In matched mode every backend gets the same initial weights (drawn once in NumPy), the same"
    " batches in the same order, and the same update formulas with the same constants. The table"
    " counts the trainings (a workload with one batch size and one seed) with equal weights and"
    " batches; the workers computed checksums in this run. The bench computes accuracy and loss"
    " from the logits. Dropout differs: timed jobs use each framework's random numbers. `bench"
    " verify` checks its fraction and scale, and that each step has a new mask."
)
_VERIFICATION = (
    "`bench verify` checks a backend against a reference in float64, through the calls that are"
    " timed. It compares the logits, and the loss and every weight after each of the first steps,"
    " for every layer, activation, loss, optimizer and initializer; and an epoch over a whole data"
    " set. It also checks the number of steps of a call, the images used, repeatability with a"
    " seed, that `sync` waits, and dropout. A figure is the largest deviation divided by its"
    " tolerance. The tolerance is computed from float32 rounding. Above 1 the check fails."
)
_MOST_NAMES = 8  # backends in a line of the terminal


class _Backend(NamedTuple):
    """A backend in one precision on a device of a machine; this is what is verified."""

    backend: str
    device: str
    machine: str
    precision: str


class _Training(NamedTuple):
    """The started jobs of one workload, data set, seed and batch size.

    It has the jobs' backends, the checksums of their initial weights, and per epoch the checksums
    of the orders of their images.
    """

    backends: set[_Backend]
    weights: set[str]
    orders: dict[int, set[str]]


def section(run: Run) -> list[Block]:
    """What was equal in this run, what was verified, and (folded) the defaults and gaps."""
    applied = _applied(run)
    if not applied:
        return []
    names, trainings = _names(list(applied)), _trainings(run.records)
    passed = _passed(run.records)
    doubts = {place: f"; but it {doubt}" for place, doubt in doubts_of(run.jobs).items()}
    same = "same initial weights", "same batches"
    columns = (
        "backend",
        "trainings",
        *same,
        "jobs that passed their own verification",
        "`bench verify`",
    )
    rows = [
        (
            names[backend],
            *_row(backend, trainings),
            passed[backend],
            _verdict(verification, backend) + doubts.get(_place(backend), ""),
        )
        for backend, verification in applied.items()
    ]
    deviations = [
        (names[backend], *(words.tolerances(deviation_of(verification, check)) for check in CHECKS))
        for backend, verification in applied.items()
        if verification is not None
    ]
    backends = list(dict.fromkeys(name.backend for name in applied if name.backend in BACKENDS))
    return [
        Text(_finding(run)),
        Table(columns, tuple(rows)),
        Table(("largest deviation", *CHECKS), tuple(deviations)),
        Folded("What is equal, and what is verified", [Text(_SAME), Text(_VERIFICATION)]),
        Folded("Defaults of each framework, and what we set", defaults(backends)),
        Folded("Gaps: what a backend cannot do, or what is not verified", gaps(backends)),
    ]


def _finding(run: Run) -> str:
    """How many results agree with other backends, and how many jobs passed a verification."""
    agrees = run.jobs["agrees"].dropna()
    if run.jobs["status"].isin(EXCLUDED).any():
        return f"{headline(run.jobs)}; see the red box."
    text = "No result was compared with another backend."
    if len(agrees):
        text = (
            f"{len(agrees)} results are close to those of the other backends: in the loss of every"
            f" epoch, and in the last accuracy (lower by at most {STANDARD_ERRORS:g} standard"
            f" errors or {100 * ACCURACY_MARGIN:g} percentage point)."
        )
    return " ".join([text, *_of_jobs(run.records), *_of_repeats(run.records)])


def _of_jobs(records: Iterable[Record]) -> list[str]:
    """How many jobs passed their own verification, the largest deviation, and why others did not.

    Jobs with a larger deviation are in the red box or in the notes.
    """
    verifications = [r.verification for r in records if r.verification is not None]
    done = [verification for verification in verifications if verification.passed]
    texts = []
    if done:
        worst = max(verification.worst[1] for verification in done)
        texts.append(
            f"{len(done)} jobs trained their first steps again after the last epoch, and passed:"
            " loss and change of every weight match the reference. The largest deviation is"
            f" {words.tolerances(worst)} of its tolerance."
        )
    if masked := sum(verification.method == "dropout" for verification in done):
        texts.append(
            f"{masked} of them have dropout and draw their own masks, so only the size and the"
            " direction of a change are compared: errors below about 30 % are not found."
        )
    reasons = dict.fromkeys(
        verification.not_verified for verification in verifications if verification.not_verified
    )
    return [*texts, *(f"Not verified by their own first steps: {reason}." for reason in reasons)]


def _of_repeats(records: Iterable[Record]) -> list[str]:
    """How many repeated jobs ended with weights that are equal to the last bit, and which did not.

    On a CPU, or if a job is deterministic, a repeated job must end with the same weights.
    """
    checksums: dict[tuple[object, ...], set[str]] = defaultdict(set)
    counts: Counter[tuple[object, ...]] = Counter()
    for record in records:
        if record.weights_checksum and record.status == "ok" and record.job.mode == "matched":
            job = replace(record.job, round=0)
            same = (job, record.data.checksum, record.machine.name, *record.made_with.items())
            checksums[same].add(record.weights_checksum)
            counts[same] += 1
    repeated = {
        same: checksums_of_job for same, checksums_of_job in checksums.items() if counts[same] > 1
    }
    if not repeated:
        return []
    jobs = [
        cast("Job", same[0])
        for same, checksums_of_job in repeated.items()
        if len(checksums_of_job) > 1
    ]
    equal = len(repeated) - len(jobs)
    text = (
        f"Of {len(repeated)} jobs that ran in several rounds, {equal} ended with the same weights"
        " to the last bit."
    )
    wrong = [
        f"{in_precision(job.backend, job.precision)} on {job.workload.name}"
        for job in jobs
        if kind_of(job.device) == "cpu" or job.deterministic
    ]
    should = f"These should have, but did not: {', '.join(words.first_of(wrong))}."
    return [text, should] if wrong else [text]


def verification_line(run: Run) -> str:
    """One line for a terminal: which of a run's backends are verified on this machine.

    It also names doubtful results, and ends with the command that verifies the other backends.
    """
    line = _verification_line(_applied(run))
    but = "; ".join(f"{place[0]} {doubt}" for place, doubt in doubts_of(run.jobs).items())
    if not but:
        return line
    # The command stays at the end of the line.
    return f"{line} But {but}." if line.endswith(".") else f"{but}. {line}"


def _verification_line(applied: dict[_Backend, Verification | None]) -> str:
    verdicts = {name: verified and verified.verdict for name, verified in applied.items()}
    wrong = [_place(backend)[0] for backend, verdict in verdicts.items() if verdict == "not equal"]
    if wrong:
        names = ", ".join(dict.fromkeys(wrong))
        return f"NOT EQUAL to the reference on this machine: {names}. See the report."
    not_verified = [
        backend
        for backend, verdict in verdicts.items()
        if verdict != "verified" and backend.backend != "reference"
    ]
    if not_verified:
        backends, precisions = (
            list(dict.fromkeys(values))
            for values in ((b.backend for b in not_verified), (b.precision for b in not_verified))
        )
        not_all = len(backends) < len({backend.backend for backend in applied})
        some = f" --backend {','.join(backends)}" if not_all else ""
        some += f" --precision {','.join(precisions)}" if precisions != ["float32"] else ""
        places = list(dict.fromkeys(_place(backend)[0] for backend in not_verified))
        shown = ", ".join(places) if not_all or len(places) <= _MOST_NAMES else "all backends"
        return f"Further checks of {shown} were not run on this machine. Run: `bench verify{some}`"
    if any(backend.backend != "reference" for backend in applied):
        return "All backends are verified against the float64 reference on this machine."
    return ""


_WORST_FIRST = ("not equal", None, "not verified", "verified")


def _applied(run: Run) -> dict[_Backend, Verification | None]:
    """Matched backend -> the worst verification of its records (see `_WORST_FIRST`), or None."""
    applied: dict[_Backend, list[Verification | None]] = defaultdict(list)
    for record in run.made_with:
        if record.job.mode == "matched" and record.status != "unsupported":
            applied[_backend(record)].append(verification_of(record, run.verifications))
    return {
        backend: min(
            of_backend,
            key=lambda verification: _WORST_FIRST.index(verification and verification.verdict),
        )
        for backend, of_backend in applied.items()
    }


def _names(backends: Sequence[_Backend]) -> dict[_Backend, str]:
    """The name of each backend, with device and machine if there are several."""
    devices, machines = ({backend[part] for backend in backends} for part in (1, 2))
    return {
        backend: " ".join(
            [
                _place(backend)[0],
                *[backend.device] * (len(devices) > 1),
                *[backend.machine] * (len(machines) > 1),
            ]
        )
        for backend in backends
    }


def _trainings(records: Iterable[Record]) -> list[_Training]:
    trainings: dict[object, _Training] = defaultdict(
        lambda: _Training(set(), set(), defaultdict(set))
    )
    for record in records:
        job, startup = record.job, record.startup
        if job.mode == "matched" and startup is not None:
            key = without_labels(job.workload), record.data.checksum, job.seed, job.batch_size
            training = trainings[key]
            training.backends.add(_backend(record))
            training.weights.add(startup.weights_checksum)
            for epoch in record.epochs:
                training.orders[epoch.number].add(epoch.order_checksum)
    return list(trainings.values())


def _passed(records: Iterable[Record]) -> dict[_Backend, str]:
    """How many jobs of each backend passed their own verification, and the largest deviation."""
    of_backend: dict[_Backend, list[JobVerification | None]] = defaultdict(list)
    for record in records:
        if record.status == "ok" and record.job.mode == "matched":
            of_backend[_backend(record)].append(record.verification)
    texts = defaultdict(lambda: words.ABSENT)
    for backend, verifications in of_backend.items():
        deviations = [
            verification.worst[1]
            for verification in verifications
            if verification is not None and verification.passed
        ]
        texts[backend] = f"{len(deviations)} of {len(verifications)}"
        if deviations:
            texts[backend] += f", to {words.tolerances(max(deviations))} of the tolerance"
    return texts


def _row(backend: _Backend, trainings: Iterable[_Training]) -> tuple[str, ...]:
    """A backend's trainings, and how many had the same weights and batches as the others."""
    of_backend = [training for training in trainings if backend in training.backends]
    shared = [training for training in of_backend if len(training.backends) > 1]
    weights = sum(len(training.weights) == 1 for training in shared)
    orders = sum(map(_same_order, shared))
    total = len(shared)
    same = (
        (f"{weights} of {total}", f"{orders} of {total}") if shared else ("no other backend",) * 2
    )
    return (str(len(of_backend)), *same)


def _same_order(training: _Training) -> bool:
    """Whether in each epoch all jobs used the same images in the same order."""
    return all(len(orders) == 1 for orders in training.orders.values())


def _backend(record: Record) -> _Backend:
    job = record.job
    return _Backend(job.backend, job.device, record.machine.name, job.precision)


def _place(backend: _Backend) -> tuple[str, str, str]:
    """The backend's name with its precision, the device and the machine."""
    return in_precision(backend.backend, backend.precision), backend.device, backend.machine


def _verdict(verification: Verification | None, backend: _Backend) -> str:
    if backend.backend == "reference":
        return "it is the reference"
    if backend.backend not in BACKENDS:
        return "not a backend of this version of framework-bench"
    if verification is None:
        usual = backend.precision == "float32"
        option = "" if usual else f" --precision {backend.precision}"
        return (
            "not run for this machine, these versions and this adapter. Run:"
            f" `bench verify --backend {backend.backend}{option}`"
        )
    if verification.verdict != "verified" or verification.worst is None:
        return say(verification)
    share = words.tolerances(verification.worst[1].deviation)
    return f"verified on this machine on {verification.started[:10]}, to {share} of the tolerance"
