"""Writes the script of an array: plain sbatch, for staff to read, edit and submit themselves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from bench.runner.cluster.submission import LOGS, SCRIPT
from specs.errors import UserError

Held = Literal["node", "gpu"]
_NOTICE = 60  # seconds before the time limit; half of a short time limit

_SCRIPT = """\
#!/bin/bash
# framework-bench: {name}. A task is one workload on one device of one node: all backends train
# there, so their times are compared on the same hardware. `bench submit` calls, once per node:
#   sbatch --partition=NAME --nodelist=NODE --array=INDICES{gpus} {script} FIRST
{options}
{exports}
# Slurm sends USR1 before the time limit; then jobs without a result get a record. The signal must
# not end a task that is still starting.
trap "" USR1
exec {command} "$(($1 + SLURM_ARRAY_TASK_ID))"
"""


class Wishes(Struct, frozen=True, kw_only=True):
    """What a user asks of Slurm.

    Attributes:
        held: what a task uses exclusively: its node, or a GPU.
        minutes: the time limit of a task.
        cpus: the CPUs of a task that shares its node; None for Slurm's default.
        others: further options of sbatch, such as "--account=physics".
    """

    held: Held
    minutes: int
    cpus: int | None
    others: tuple[str, ...]


def script_of(
    name: str,
    folder: Path,
    wishes: Wishes,
    *,
    python: str,
    current: Path,
    variables: Mapping[str, str],
) -> str:
    """The text of the script.

    Args:
        name: the name of the run.
        folder: the absolute path of the submission's folder.
        wishes: see `Wishes`.
        python: the bench's own interpreter.
        current: the folder in which the tasks run.
        variables: the environment variables that the tasks need.

    Raises:
        UserError: a path has a line break.
    """
    options = [
        f"--job-name=bench-{name}",
        "--nodes=1",
        "--ntasks=1",
        *_share(wishes),
        f"--time={wishes.minutes}",
        f"--signal=B:USR1@{min(_NOTICE, 30 * wishes.minutes)}",
        "--requeue",
        "--open-mode=append",
        f"--chdir={current}",
        f"--output={str(folder / LOGS).replace('%', '%%')}/%A_%a.out",
        *wishes.others,
    ]
    text = _SCRIPT.format(
        name=name,
        script=SCRIPT,
        gpus=" --gres=gpu:NUMBER" if wishes.held == "gpu" else "",
        options="\n".join(f"#SBATCH {_quoted(option)}" for option in options),
        exports="\n".join(f"export {k}={shlex.quote(v)}" for k, v in sorted(variables.items())),
        command=shlex.join([python, "-m", "bench", "task", str(folder)]),
    )
    for value in (*options, str(folder), python, *variables.values()):
        if not value.isprintable():
            raise UserError(f"{value!r}: a Slurm script cannot contain these characters")
    return text


def _share(wishes: Wishes) -> Sequence[str]:
    if wishes.held == "node":
        return "--exclusive", "--mem=0"  # all of its memory
    return () if wishes.cpus is None else (f"--cpus-per-task={wishes.cpus}",)


def _quoted(option: str) -> str:
    """An option quoted for sbatch, which reads double quotes and backslashes."""
    name, equals, value = option.partition("=")
    if value.replace("/", "").replace("_", "").replace("-", "").replace(".", "").isalnum():
        return option
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}{equals}"{escaped}"' if equals else option
