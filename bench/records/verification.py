"""The record of a verification, its verdict, and the jobs that it is valid for.

A verification is valid for one backend, device, precision and machine, and for the versions and the
code of the adapter that it was made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from backends.contract import Mode, Precision
from bench.machine.host import gpu_kind
from bench.records.job import Record
from bench.records.key import checksum_of
from bench.records.stored import LeftOut, Outcome, read
from bench.worker.lines import INFINITE, Finding, ModelFindings, SettingValue

FOLDER = "verifications"
Verdict = Literal["verified", "not equal", "not verified"]


class Verification(Outcome, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The findings of the checks of one backend on one device of one machine.

    Attributes:
        status: "ok" means only that all checks ran.
        checks_checksum: checksum of the checks' code and of all our code that it imports.
        settings: what the framework itself reports of threads, precision and compiler.
        pieces: the findings by model.
        planned: how many pieces a complete verification has.
        only_sizes: whether only the first steps of some workloads were checked. Such a verification
            says nothing of the backend's other work.
    """

    FORMAT: ClassVar[int] = 2

    backend: str
    mode: Mode
    device: str
    threads: int
    checks_checksum: str
    settings: dict[str, SettingValue]
    pieces: tuple[ModelFindings, ...]
    planned: int
    only_sizes: bool = False
    precision: Precision = "float32"

    @property
    def findings(self) -> list[tuple[str, Finding]]:
        """All findings, each as (model, finding)."""
        return [(piece.model, finding) for piece in self.pieces for finding in piece.findings]

    @property
    def worst(self) -> tuple[str, Finding] | None:
        """The finding with the largest deviation, as (model, finding); None without findings."""
        return max(self.findings, key=lambda item: item[1].deviation, default=None)

    @property
    def verdict(self) -> Verdict:
        """Not equal if a check failed; verified if all checks ran to their end and passed."""
        if any(not finding.passed for _, finding in self.findings):
            return "not equal"
        is_incomplete = any(piece.unsupported or piece.failed for piece in self.pieces)
        has_all = self.status == "ok" and len(self.pieces) == self.planned and not is_incomplete
        return "verified" if has_all else "not verified"


def read_verifications(folders: Iterable[Path]) -> tuple[list[Verification], list[LeftOut]]:
    """The verifications in some folders, oldest first, and the files that are left out."""
    records, left_out = read(folders, Verification)
    unique = {(record.key, record.started): record for record in records}
    return sorted(unique.values(), key=lambda record: record.started), left_out


@cache
def checks_checksum() -> str:
    """The checksum of the present code of the checks.

    A verification by other checks is not valid.
    """
    return checksum_of("bench.worker.verification.verifier")


def one_per_verification(records: Iterable[Record]) -> list[Record]:
    """One record for each different verification that the records need.

    If the same verification is valid for several records, only the last record is returned. This
    keeps the search fast: 100,000 records may become eight.
    """
    return list({_made_with(record): record for record in records}.values())


def verification_of(record: Record, verifications: Sequence[Verification]) -> Verification | None:
    """The newest verification that is valid for a record; None if there is none."""
    return next(
        (
            verification
            for verification in reversed(verifications)
            if _applies(verification, record)
        ),
        None,
    )


def deviation_of(verification: Verification, check: str) -> float | None:
    """The largest deviation of a check over all models, in tolerances; None if it was not run."""
    return max(
        (finding.deviation for _, finding in verification.findings if finding.check == check),
        default=None,
    )


def say(verification: Verification) -> str:
    """The verdict in words: what was checked, which checks failed and where, or how it ended."""
    if verification.verdict == "verified":
        models = len({piece.model for piece in verification.pieces})
        return (
            f"verified, {len(verification.findings)} findings on {models} models"
            f" in {verification.wall_seconds:.0f} s"
        )
    if verification.verdict == "not equal" and verification.worst is not None:
        model, worst = verification.worst
        failed = ", ".join(
            dict.fromkeys(
                finding.check for _, finding in verification.findings if not finding.passed
            )
        )
        finite = worst.deviation < INFINITE
        times = f", {worst.deviation:.3g} times its tolerance" if finite else ""
        return (
            f"NOT EQUAL: {failed} failed; the worst is {worst.check} of '{model}',"
            f" {worst.where}{times}"
        )
    missing = [piece for piece in verification.pieces if piece.unsupported or piece.failed]
    reasons = [f"'{piece.model}': {piece.unsupported or piece.failed}" for piece in missing]
    reason = next(iter(reasons), "")
    ended = "" if verification.status == "ok" else f"{verification.status}, "
    return f"NOT VERIFIED: {ended}{verification.reason or reason or 'some checks were not run'}"


def _applies(verification: Verification, record: Record) -> bool:
    job = record.job
    return (
        not verification.only_sizes
        and (verification.backend, verification.mode, verification.device)
        == (job.backend, job.mode, job.device)
        and verification.precision == job.precision
        and (verification.machine.name, verification.adapter_checksum)
        == (record.machine.name, record.adapter_checksum)
        and verification.versions == record.versions
        and verification.variables == record.variables
        and verification.checks_checksum == checks_checksum()
        and gpu_kind(verification.machine, job.device) == gpu_kind(record.machine, job.device)
    )


def _made_with(record: Record) -> tuple[object, ...]:
    """Everything of a record that `_applies` reads, and whether its job was unsupported."""
    job, unsupported = record.job, record.status == "unsupported"
    values = (
        job.precision,
        job.backend,
        job.mode,
        job.device,
        record.machine,
        record.adapter_checksum,
        unsupported,
        record.variables,
    )
    return (*values, *record.versions.items())
