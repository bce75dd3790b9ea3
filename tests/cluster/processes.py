"""Finds the processes of a run on the lab."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil


def workers(cluster, run):
    """The workers of a run that have begun to train, by their parents: the tasks."""
    folder, found = str(cluster.folder / "results" / run / "cluster"), {}
    for task in psutil.process_iter(["cmdline"]):
        if any(word.startswith(folder) for word in task.info["cmdline"] or ()):
            with suppress(psutil.Error):  # it has just ended
                found |= {task: child for child in task.children() if has_begun(child)}  # noqa: B035
    return found


def has_begun(process):
    """Whether a process is a worker that has written a line."""
    lines = [Path(word) for word in process.cmdline() if word.endswith(".progress.jsonl")]
    return any(path.is_file() and path.stat().st_size for path in lines)


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def other_ranks(cluster):
    """The processes on other nodes of jobs that train on several."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        if "--connect" in (process.info["cmdline"] or ()) and process.info["name"] != "srun":
            with suppress(psutil.Error):  # it has just ended
                if process.environ().get("SLURM_CONF") == str(cluster.lab.config):
                    found.append(process)
    return found
