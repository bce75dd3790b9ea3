"""Reads the verifications and noise measurements beside a run that apply to its records.

They are copied into the run's folder, so that the folder can be sent as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.records import noise, verification
from bench.records.job import Record
from bench.records.stored import write
from bench.records.verification import Verification
from bench.report.frame.places import Place
from bench.statistics import noise as statistics_noise


def keep_verifications(records: Sequence[Record], folder: Path) -> list[Verification]:
    """All verifications in a run's folder and beside it, oldest first.

    Those that apply to the run's records are copied into its folder.
    """
    own = folder / verification.FOLDER
    verifications, _ = verification.read_verifications(
        [own, folder.resolve().parent / verification.FOLDER]
    )
    for one in {
        found.key: found
        for record in records
        if (found := verification.verification_of(record, verifications))
    }.values():
        write(own, one)
    return verifications


def noise_of_places(records: Sequence[Record], folder: Path) -> dict[Place, str]:
    """What is known of the timing noise of every place of a run, in words.

    The calibrations that apply are copied into the run's folder.
    """
    own, lines = folder / noise.FOLDER, dict[Place, str]()
    found, _ = noise.read_calibrations([own, folder.resolve().parent / noise.FOLDER])
    places: dict[Place, list[Record]] = {}
    for record in records:
        place = record.machine.name, record.job.device, record.job.threads
        places.setdefault(place, []).append(record)
    for place, there in places.items():
        one, (machine, device, threads) = statistics_noise.noise_of(there[0], found), place
        if one is None:
            command = f"bench calibrate --device {device} --threads {threads}"
            lines[place] = f"Nobody has measured how noisy {machine} is there: `{command}`."
        else:
            write(own, one)
            lines[place] = statistics_noise.say(
                one, len({(record.job.round, record.job.seed) for record in there})
            )
    return lines
