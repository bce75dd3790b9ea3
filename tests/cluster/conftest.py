"""A cluster of three nodes with two GPUs each: a private Slurm, and `bench` that uses it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.command.setup import _machine
from bench.records.files import PROJECT
from bench.records.job import Record
from bench.records.run import read_run
from bench.records.stored import write
from bench.runner.environments import Environments
from bench.runner.jobs import make_tasks
from bench.runner.limits import limit_tasks
from tests.cluster.lab import NODES, PROGRAMS, Lab, until
from tests.support.jobs import make_job
from tests.support.records import made_limits

# Half a second of training; "long" ones are ended from outside.
SHORT = (
    *("softmax", "--backend", "reference", "--dataset", "mnist-5k", "--turns", "0"),
    *("--threads", "1", "--device", "cpu", "--batch-size", "1000"),
)


@pytest.fixture(scope="session")
def lab():
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    why = "" if os.geteuid() == 0 else "Slurm's daemons are started by root only"
    why = f"no {missing[0]}: apt-get install slurm-wlm munge" if missing else why
    if why and os.environ.get("FRAMEWORK_BENCH_TEST_ALL"):
        pytest.fail(why)
    if why:
        pytest.skip(why)
    # A socket's path has at most 107 characters, which pytest's folders may exceed.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        found = Lab(Path(folder) / "lab")
        try:
            found.start()
            yield found
        finally:
            found.stop()


class Cluster:
    """`bench` on the lab, in an empty folder."""

    def __init__(self, lab, call, folder) -> None:
        self.lab, self.bench, self.folder = lab, call, folder

    def submit(self, run: str, *arguments: str) -> str:
        """Submit a run; returns the number of the last array."""
        code, _, errors = self.bench("submit", *SHORT, "--run", run, *arguments)
        assert code == 0, errors
        arrays = re.findall(r'"job": "(\d+)"', self.newest(run, "arrays.json").read_text())
        return arrays[-1]

    def newest(self, run: str, name: str) -> Path:
        return max((self.folder / "results" / run / "cluster").glob(f"*/{name}"))

    def counts(self, run: str) -> dict[str, int]:
        """How many tasks of all nodes wait, run, are done or lost."""
        _, text, errors = self.bench("status", f"results/{run}")
        self.said = text + errors
        lines = text.splitlines()
        rows = [line.split() for line in lines[2:] if re.match(r"(n\d|all) ", line)]
        titles = lines[0].split()[2:]
        numbers = rows[-1][-len(titles) :]
        return {k: int(v) for k, v in zip(titles, numbers, strict=True) if v != "0"}

    def wait(self, run: str, *, resuming: bool = False, **expected: int) -> None:
        """Wait until the tasks stand so; resume nodes meanwhile that the controller calls down."""
        try:
            until(
                lambda: self.counts(run) == expected or (resuming and self.lab.resume_nodes()), 120
            )
        except AssertionError:
            logs = self.folder.glob(f"results/{run}/cluster/*/log/*")
            said = "\n".join(path.read_text() for path in logs)
            nodes = self.lab.call("sinfo", "--Node", "--long")
            pytest.fail(f"{self.counts(run)}, expected {expected}\n{nodes}\n{self.said}\n{said}")

    def wait_training(self, run: str, *, tasks: int = 1) -> None:
        """Wait until so many tasks have started a worker."""
        started = f"results/{run}/cluster/*/started/*"
        until(lambda: len([*self.folder.glob(started)]) == tasks, 60)

    def records(self, run: str) -> list[Record]:
        """The records of a run; there is one of each job."""
        records, left_out = read_run(self.folder / "results" / run)
        assert left_out == []
        jobs = [(each.machine.name, each.job.batch_size, each.job.seed) for each in records]
        assert len(jobs) == len(set(jobs))
        return records


@pytest.fixture
def cluster(lab, bench, monkeypatch, tmp_path, tmp_path_factory, mnist_5k):
    """The cluster; the limits of its engines are made up, as measuring them takes long."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    for name, value in lab.variables.items():
        monkeypatch.setenv(name, value)
    run = Cluster(lab, bench, tmp_path)
    monkeypatch.setattr("bench.command.cluster.submit.write_command", _with_limits(mnist_5k))
    yield run
    lab.empty()


def _with_limits(data):
    def write_limits(run: Path, _arguments) -> None:
        for name in NODES:
            machine = replace(_machine(("cpu",)), name=name)
            task = make_tasks([(make_job(), data)], Environments(), machine, 1)
            (engine,) = limit_tasks(task, (), (), machine, retry=False)
            write(run / "limits", made_limits(key=engine.key, machine=machine))

    return write_limits
