"""Copies the verifications and calibrations that apply to a run into its folder.

So the folder is complete when it is sent to others.
"""

from __future__ import annotations

from bench.records.noise import FOLDER as NOISE
from bench.records.stored import write
from bench.records.verification import FOLDER as VERIFICATIONS
from bench.records.verification import verification_of
from bench.report.run import Run


def keep_what_applies(run: Run) -> None:
    """Write what applies to the run's records into its folder.

    Raises:
        RunError: the folder cannot be written.
    """
    for record in run.made_with:
        if verification := verification_of(record, run.verifications):
            write(run.folder / VERIFICATIONS, verification)
    for place in run.places:
        if place.calibration:
            write(run.folder / NOISE, place.calibration)
