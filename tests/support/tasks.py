"""Tasks of the real runner, with an adapter of the tests in place of a framework."""

from __future__ import annotations

import sys

from backends.family import Entry
from bench.machine.host import this_machine
from bench.records.job import read_record
from bench.runner.jobs import run_tasks
from bench.runner.task import DataTask, Limits
from tests.support.jobs import make_job

LIMITS = Limits(timeout_seconds=60, train_evaluated=100)


class Watcher:
    def __init__(self):
        self.kept, self.advances = [], []

    def planned(self, tasks):
        pass

    def started(self, task):
        pass

    def advanced(self, task, epochs):
        self.advances.append(len(epochs))

    def ended(self, task, record, *, old):
        self.kept.append(old)


def make_task(adapter, data, **job):
    entry = Entry(title="a test", adapter=adapter, environment="bench", needs=())
    made = make_job(**{"epochs": 3, "batch_size": 500, **job})
    name = adapter.partition(":")[2]
    return DataTask(
        job=made,
        data=data,
        key=f"{name}.{made.seed}",
        entry=entry,
        python=sys.executable,
        versions={},
        adapter=adapter,
        adapter_checksum="",
    )


def run_one(adapter, data, folder, *, limits=LIMITS, retry=False, **job):
    task = make_task(adapter, data, **job)
    [record] = run_tasks([task], folder, this_machine(), limits, Watcher(), retry=retry)
    assert read_record(folder / "jobs" / f"{task.key}.json") == record
    return record
