"""What lies beside a run's records and speaks of them: proofs, and the noise of where they were made.

It is copied into the run's folder, so that the run can be sent as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.records import noise, proof
from bench.records.job import Record
from bench.records.proof import Proof
from bench.report.frame.groups import Place
from bench.statistics import noise as statistics_noise


def keep_proofs(records: Sequence[Record], folder: Path) -> list[Proof]:
    """The proofs that speak of a run's records, oldest first."""
    own = folder / proof.FOLDER
    proofs = proof.read_proofs([own, folder.resolve().parent / proof.FOLDER])
    for one in {
        found.key: found for record in records if (found := proof.proof_of(record, proofs))
    }.values():
        proof.write_proof(one, own)
    return proofs


def noise_of_places(records: Sequence[Record], folder: Path) -> dict[Place, str]:
    """Per place what is known of its noise, in words."""
    own, lines = folder / noise.FOLDER, dict[Place, str]()
    found = noise.read_calibrations([own, folder.resolve().parent / noise.FOLDER])
    places: dict[Place, list[Record]] = {}
    for record in records:
        places.setdefault((record.machine.name, record.job.device, record.job.threads), []).append(
            record
        )
    for place, there in places.items():
        one, (machine, device, threads) = statistics_noise.noise_of(there[0], found), place
        if one is None:
            command = f"bench calibrate --device {device} --threads {threads}"
            lines[place] = f"Nobody has measured how noisy {machine} is there: `{command}`."
        else:
            noise.write_calibration(one, own)
            lines[place] = statistics_noise.say(
                one, len({(record.job.round, record.job.seed) for record in there})
            )
    return lines
