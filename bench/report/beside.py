"""Copies the verifications and calibrations that apply to a run into its folder.

So the folder is complete if it is sent to others.
"""

from __future__ import annotations

from bench.records.files import inside
from bench.records.noise import FOLDER as NOISE
from bench.records.noise import Calibration
from bench.records.stored import write
from bench.records.verification import FOLDER as VERIFICATIONS
from bench.records.verification import Verification, verification_of
from bench.report.run import Run


def what_applies(run: Run) -> tuple[list[Verification], list[Calibration]]:
    """The verifications and calibrations that apply to a run's records, each once."""
    valid = [verification_of(record, run.verifications) for record in run.made_with]
    return [
        *{verification.key: verification for verification in valid if verification}.values()
    ], run.calibrations


def keep_what_applies(run: Run) -> None:
    """Write the verifications and calibrations that apply to a run into its folder.

    Raises:
        RunError: the folder cannot be written.
    """
    verifications, calibrations = what_applies(run)
    for verification in verifications:
        write(inside(run.folder, VERIFICATIONS), verification)
    for calibration in calibrations:
        write(inside(run.folder, NOISE), calibration)
