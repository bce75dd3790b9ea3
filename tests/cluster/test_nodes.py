"""A job that trains data parallel over two nodes of a real Slurm."""

from __future__ import annotations

import signal

import pytest

from backends import registry
from tests.cluster.lab import until
from tests.cluster.processes import has_ended, other_ranks, workers

pytestmark = pytest.mark.slow


# The framework's own setting, and what it calls the process on the second node.
BACKENDS = {
    "pytorch": (("process_group", "gloo"), "rank 1 on n2"),
    "jax": (("collectives", "gloo"), "process 1 on n2"),
}


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def submit(cluster, environments, backend):
    """A function: submit softmax on two nodes with a rank each."""
    entry = registry.entry(backend)
    python = f"{entry.environment}={environments.require(backend)}"
    job = ("--backend", backend, "--python", python, "--device", "2x1xcpu", "--nodes", "2")
    return lambda *arguments: cluster.submit("r", *job, *arguments)


def end_rank(cluster, number):
    """Send a signal to the rank on the second node when a job trains; wait for its record."""
    before = len(cluster.records("r"))
    until(lambda: workers(cluster, "r"), 60)
    (rank,) = other_ranks(cluster)
    rank.send_signal(number)
    until(lambda: len(cluster.records("r")) == before + 1, 60)
    until(lambda: has_ended(rank), 10)


def test_a_job_on_two_nodes_is_verified(cluster, submit, backend):
    submit("--epochs", "2")
    cluster.wait("r", done=1)
    (record,) = cluster.records("r")
    assert record.status == "ok", record.details
    assert record.job.device == "2x1xcpu"
    assert "2x1xcpu" in record.key
    assert record.startup.settings["ranks"] == 2
    assert record.startup.settings["nodes"] == "n1, n2"
    (name, value), _ = BACKENDS[backend]
    assert record.startup.settings[name] == value
    assert record.verification.passed
    assert record.verification.steps > 1
    assert record.cpu_seconds is None  # of n2 it is not known
    assert other_ranks(cluster) == []


def test_a_rank_that_dies_or_hangs_is_one_record_that_names_it(cluster, submit, backend):
    limit = ("--variable", "FRAMEWORK_BENCH_RANK_SECONDS=6")
    submit("--epochs", "9000", "--seeds", "0,1", *limit)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        end_rank(cluster, number)
    cluster.wait("r", done=1)
    died, hung = sorted(cluster.records("r"), key=lambda record: record.job.seed)
    assert (died.status, hung.status) == ("failed", "failed")
    _, name = BACKENDS[backend]
    assert f"{name} ended in train_epoch with signal SIGKILL" in died.reason
    assert f"{name} did not answer in train_epoch within" in hung.reason
