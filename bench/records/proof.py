"""The proof of a backend on a machine: its record, its verdict, and what it speaks of.

A proof speaks of one backend, device and machine, of the versions and of the text of the adapter
that it was made with; for a record of anything else it proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from backends.contract import Mode
from bench.machine.host import Machine, gpu_of
from bench.records.files import write_atomically
from bench.records.job import Record
from bench.records.key import Key, checksum_of
from bench.worker.lines import INFINITE, Finding, Proven, Setting, Status

FORMAT = 1
FOLDER = "proofs"
Verdict = Literal["proven", "not equal", "not proven"]


class Proof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the checks found of one backend on one device of one machine.

    Attributes:
        status, reason, details: how the process ended, see `bench.records.job.Record`; "ok" says
            only that all checks ran.
        adapter_checksum, checks_checksum: of the adapter's text, and of the checks', with all of
            ours that they import.
        settings: what the framework itself said of threads, precision and compiler.
        pieces: the findings by model; `planned` is how many there should be.
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
        """All findings, each with its model."""
        return [(piece.model, finding) for piece in self.pieces for finding in piece.findings]

    @property
    def worst(self) -> tuple[str, Finding] | None:
        """The finding with the largest deviation, and its model."""
        return max(self.findings, key=lambda found: found[1].deviation, default=None)

    @property
    def verdict(self) -> Verdict:
        """Not equal, if a check failed; proven, if every one was run to its end and passed."""
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
    """The proofs in these folders, oldest first; what is not one, or not whole, is left out."""
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
    """Of the checks' text, as it is now: a proof by others is of no account."""
    return checksum_of("bench.worker.proof.prover")


def one_of_each(records: Iterable[Record]) -> list[Record]:
    """Of records that no proof tells apart only the last: of 100,000 there are perhaps eight that do differ."""
    return list({_made_with(record): record for record in records}.values())


def proof_of(record: Record, proofs: Sequence[Proof]) -> Proof | None:
    """The newest proof that speaks of what made a record."""
    return next((proof for proof in reversed(proofs) if _applies(proof, record)), None)


def deviation_of(proof: Proof, check: str) -> float | None:
    """The largest of a check's deviations over the models, in tolerances; None where it was not run."""
    return max(
        (finding.deviation for _, finding in proof.findings if finding.check == check), default=None
    )


def say(proof: Proof) -> str:
    """The verdict in words: what is proven, what failed first and where, or how the proof ended."""
    if proof.verdict == "proven":
        models = len({piece.model for piece in proof.pieces})
        return f"proven, {len(proof.findings)} findings on {models} models in {proof.wall_seconds:.0f} s"
    if proof.verdict == "not equal" and proof.worst is not None:
        model, worst = proof.worst
        failed = ", ".join(
            dict.fromkeys(finding.check for _, finding in proof.findings if not finding.passed)
        )
        times = (
            "" if worst.deviation >= INFINITE else f", {worst.deviation:.3g} times its tolerance"
        )
        return f"NOT EQUAL: {failed} failed; the worst is {worst.check} of '{model}', {worst.where}{times}"
    whys = [f"'{piece.model}': {piece.unsupported or piece.failed}" for piece in proof.pieces]
    why = next(
        (
            why
            for why, piece in zip(whys, proof.pieces, strict=True)
            if piece.unsupported or piece.failed
        ),
        "",
    )
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
        and gpu_of(proof.machine, job.device) == gpu_of(record.machine, job.device)
    )


def _made_with(record: Record) -> tuple[object, ...]:
    """All that `_applies` looks at, and whether there was anything to prove."""
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
