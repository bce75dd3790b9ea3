"""Reads all weights of a trained model, which its worker wrote to the folder `learned` of the run.

`bench run --keep-weights` keeps the weights of matched jobs of the first seed and round.
"""

from __future__ import annotations

import errno
from math import prod
from pathlib import Path

from backends.contract import Weights
from bench.records.arrays import read_arrays
from bench.records.command import read_command
from bench.records.files import RunError
from bench.records.job import Record
from bench.records.learned import FOLDER
from bench.records.stored import LeftOut
from bench.worker.arrays import checksum
from specs.model import Workload
from specs.shapes import FLOAT_BYTES, infer_shapes

_HEAD_BYTES, _END_BYTES = 1000, 1000  # the largest overhead of a file per array, and at its end


def path_of(folder: Path, key: str) -> Path:
    """The file with a job's weights.

    Args:
        folder: the run's folder.
        key: the key of the job's record.
    """
    return folder / FOLDER / f"{key}.weights.npz"


def weights_bytes(workload: Workload) -> int:
    """The bytes of all weights of a model, with the running values of batch norm."""
    sizes = (
        size
        for shape in infer_shapes(workload)
        for size in (shape.parameters | shape.state).values()
    )
    return FLOAT_BYTES * sum(map(prod, sizes))


def read_weights(folder: Path, record: Record) -> Weights | LeftOut | None:
    """The weights of a job after its last epoch, or why they cannot be read; None without a file.

    Args:
        folder: the run's folder.
        record: the job's record.
    """
    path, workload = path_of(folder, record.key), record.job.workload
    arrays = sum(len(shape.parameters | shape.state) for shape in infer_shapes(workload))
    try:
        weights = read_arrays(path, weights_bytes(workload) + arrays * _HEAD_BYTES + _END_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EFBIG:
            return LeftOut(path, "larger than its model")
        return LeftOut(path, f"cannot be read ({error.strerror or error})")
    except ValueError:
        return LeftOut(path, "damaged")
    if checksum(weights) != record.weights_checksum:
        return LeftOut(path, "not of its record; remove it, and run with --keep-weights again")
    return weights


def without_weights(run: Path) -> RunError:
    """The error for a run without kept weights, or for a missing run; it says what to type.

    Args:
        run: the folder of the run.
    """
    option = "--keep-weights"
    command = read_command(run) or f"bench run {run.name}"
    command = command if option in command.split() else f"{command} {option}"
    if (run / "jobs").is_dir():
        problem = f"{run}: no weights of trained models were kept"
        return RunError(problem, hint=f"{command} trains again what has none")
    return RunError(
        f"{run}: is not a results folder",
        expected="the folder of a run that kept the weights of its models",
        hint=f"{command}; then bench export {run.name} again",
    )
