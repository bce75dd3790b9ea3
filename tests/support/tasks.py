"""Tasks of the real runner, with an adapter of the tests in place of a framework."""

from __future__ import annotations

import sys
from pathlib import Path

from backends.family import Entry
from backends.registry import package_of
from bench.machine.host import this_machine
from bench.records.job import Record
from bench.records.stored import read_file
from bench.runner import jobs
from bench.runner.task import TrainingTask
from bench.runner.tasks import run_tasks
from bench.worker.assignment import Train
from tests.support.jobs import make_job


class Watcher:
    def __init__(self):
        self.reused, self.advances, self.sweeps = [], [], []

    def planned(self, tasks):
        pass

    def started(self, task):
        pass

    def advanced(self, task, lines):
        self.advances.append(len(lines))

    def ended(self, task, record, *, reused):
        self.reused.append(reused)

    def turned(self, tasks, sweeps):
        self.sweeps.append(sweeps)


def make_task(adapter, data, **job):
    entry = Entry(title="a test", adapter=adapter, environment="bench", needs=())
    made = make_job(**{"epochs": 3, "batch_size": 500, **job})
    name = adapter.partition(":")[2]
    return TrainingTask(
        job=made,
        data=data,
        key=f"{name}.{made.seed}",
        entry=entry,
        python=sys.executable,
        versions={},
        adapter_checksum="",
        assignment=Train(
            job=made,
            adapter=adapter,
            package=package_of(adapter),
            data=data.folder,
            train_evaluated=100,
            references=str(Path(data.folder).parent / "references"),
        ),
    )


def run_jobs(tasks, folder, *, timeout=60.0, retry=False, observer=None, known=()):
    """The records of tasks that `bench run` would make in a run's folder."""
    return run_tasks(
        tasks,
        folder / "jobs",
        this_machine(),
        jobs.make_record,
        timeout=timeout,
        observer=observer or Watcher(),
        reused={record.key: record for record in known if record.status == "ok" or not retry},
    )


def run_one(adapter, data, folder, *, timeout=60.0, **job):
    task = make_task(adapter, data, **job)
    [record] = run_jobs([task], folder, timeout=timeout)
    assert read_file(folder / "jobs" / f"{task.key}.json", Record) == record
    return record
