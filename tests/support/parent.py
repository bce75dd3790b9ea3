"""A process that runs a job as `bench run` does, with ADAPTER DATA RUN EPOCHS [PYTHON].

It says its mark just before it starts the worker.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bench.data.dataset import DataSet
from bench.machine import guard
from tests.support.tasks import make_task, run_jobs

if __name__ == "__main__":
    adapter, data, folder, epochs, *python = sys.argv[1:]
    task = make_task(adapter, msgspec.json.decode(data, type=DataSet), epochs=int(epochs))
    task = replace(task, python=python[0] if python else task.python)
    print(guard.MARK, flush=True)
    [record] = run_jobs([task], Path(folder), timeout=3.0)
    print(record.status, record.reason)
