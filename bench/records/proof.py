"""The proof of a backend on a machine: its record, its verdict, and the jobs it is valid for.

A proof is valid for one backend, device and machine, and for the versions and the adapter's code
that it was made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from backends.contract import Mode
from bench.machine.host import Machine, gpu_kind
from bench.records.files import write_atomically
from bench.records.job import Record
from bench.records.key import Key, checksum_of
from bench.worker.lines import INFINITE, Finding, Proven, Setting, Status

FORMAT = 1
FOLDER = "proofs"
Verdict = Literal["proven", "not equal", "not proven"]


class Proof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The findings of the checks of one backend on one device of one machine.

    Attributes:
        status, reason, details: how the process ended, see `bench.records.job.Record`; "ok" means
            only that all checks ran.
        adapter_checksum, checks_checksum: checksums of the adapter's and the checks' code, each
            with all our code that it imports.
        settings: what the framework itself reports of threads, precision and compiler.
        pieces: the findings by model.
        planned: how many pieces a complete proof has.
    """

    format: int
    key: Key
    status: Status
    reason: str
    details: str
    backend: str
    mode: Mode
    device: str
    threads: int
    machine: Machine
    versions: dict[str, str]
    adapter_checksum: str
    checks_checksum: str
    started: str
    wall_seconds: float
    settings: dict[str, Setting]
    pieces: tuple[Proven, ...]
    planned: int

    @property
    def findings(self) -> list[tuple[str, Finding]]:
        """All findings, each as (model, finding)."""
        return [(piece.model, finding) for piece in self.pieces for finding in piece.findings]

    @property
    def worst(self) -> tuple[str, Finding] | None:
        """The finding with the largest deviation, as (model, finding); None without findings."""
        return max(self.findings, key=lambda found: found[1].deviation, default=None)

    @property
    def verdict(self) -> Verdict:
        """Not equal if a check failed; proven if all checks ran to their end and passed."""
        if any(not finding.passed for _, finding in self.findings):
            return "not equal"
        gone = any(piece.unsupported or piece.failed for piece in self.pieces)
        whole = self.status == "ok" and len(self.pieces) == self.planned and not gone
        return "proven" if whole else "not proven"


def write_proof(proof: Proof, folder: Path) -> None:
    """Write `folder/KEY.json`, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    write_atomically(
        folder / f"{proof.key}.json", msgspec.json.format(msgspec.json.encode(proof), indent=1)
    )


def read_proofs(folders: Iterable[Path]) -> list[Proof]:
    """The proofs in these folders, oldest first; files that are no whole proof are left out."""
    found = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        try:
            proof = msgspec.json.decode(path.read_bytes(), type=Proof)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        found[proof.key, proof.started] = proof
    return sorted(found.values(), key=lambda proof: proof.started)


@cache
def checks_checksum() -> str:
    """The checksum of the present code of the checks.

    A proof by other checks is not valid.
    """
    return checksum_of("bench.worker.proof.prover")


def one_of_each(records: Iterable[Record]) -> list[Record]:
    """Records of which each needs another proof.

    Of several records for which the same proof is valid only the last is returned: 100,000 records
    may leave eight.
    """
    return list({_made_with(record): record for record in records}.values())


def proof_of(record: Record, proofs: Sequence[Proof]) -> Proof | None:
    """The newest proof that is valid for a record; None if there is none."""
    return next((proof for proof in reversed(proofs) if _applies(proof, record)), None)


def deviation_of(proof: Proof, check: str) -> float | None:
    """The largest deviation of a check over all models, in tolerances; None if it was not run."""
    return max(
        (finding.deviation for _, finding in proof.findings if finding.check == check), default=None
    )


def say(proof: Proof) -> str:
    """The verdict in words: what was checked, which checks failed and where, or how it ended."""
    if proof.verdict == "proven":
        models = len({piece.model for piece in proof.pieces})
        return (
            f"proven, {len(proof.findings)} findings on {models} models"
            f" in {proof.wall_seconds:.0f} s"
        )
    if proof.verdict == "not equal" and proof.worst is not None:
        model, worst = proof.worst
        failed = ", ".join(
            dict.fromkeys(finding.check for _, finding in proof.findings if not finding.passed)
        )
        finite = worst.deviation < INFINITE
        times = f", {worst.deviation:.3g} times its tolerance" if finite else ""
        return (
            f"NOT EQUAL: {failed} failed; the worst is {worst.check} of '{model}',"
            f" {worst.where}{times}"
        )
    missing = [piece for piece in proof.pieces if piece.unsupported or piece.failed]
    whys = [f"'{piece.model}': {piece.unsupported or piece.failed}" for piece in missing]
    why = next(iter(whys), "")
    ended = "" if proof.status == "ok" else f"{proof.status}, "
    return f"NOT PROVEN: {ended}{proof.reason or why or 'some checks were not run'}"


def _applies(proof: Proof, record: Record) -> bool:
    job = record.job
    return (
        job.precision == "float32"
        and (proof.backend, proof.mode, proof.device) == (job.backend, job.mode, job.device)
        and (proof.machine.name, proof.adapter_checksum)
        == (record.machine.name, record.adapter_checksum)
        and proof.versions == record.versions
        and proof.checks_checksum == checks_checksum()
        and gpu_kind(proof.machine, job.device) == gpu_kind(record.machine, job.device)
    )


def _made_with(record: Record) -> tuple[object, ...]:
    """Everything of a record that `_applies` reads, and whether its job was unsupported."""
    job, unsupported = record.job, record.status == "unsupported"
    made = (
        job.precision,
        job.backend,
        job.mode,
        job.device,
        record.machine,
        record.adapter_checksum,
        unsupported,
    )
    return (*made, *record.versions.items())
