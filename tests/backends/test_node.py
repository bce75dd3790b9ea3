"""A child on another node of Slurm, as far as it needs no Slurm: `srun` is a stand-in.

`tests/cluster/test_nodes.py` has the real one.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import numpy as np
import pytest

from backends.far import node
from backends.far.child import Child, ChildGoneError
from backends.far.description import describe
from backends.far.near import probe
from bench.records.files import PROJECT
from specs.initial import initial_weights
from tests.support.jobs import make_job

JOB = make_job("softmax-sgd", batch_size=8)
LIMIT = 0.5
# What Slurm does for a step: it sets these variables, and starts the command behind the options.
STARTS = """
while [ "${1#--}" != "$1" ]; do shift; done
export SLURM_LAUNCH_NODE_IPADDR=127.0.0.1 SLURMD_NODENAME=n2
exec "$@"
"""


@pytest.fixture
def rank(tmp_path, monkeypatch):
    """A function: start a child by an `srun` that is this shell script."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(node, "_END_SECONDS", 0.2)
    monkeypatch.setattr(node, "_GREETING_SECONDS", 0.2)
    started = []

    def start(script, seconds=LIMIT):
        (tmp_path / "srun").write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "srun").chmod(0o755)
        target = "tests.support.near_softmax:Softmax"
        place = {"name": "rank 1", "seconds": seconds, "number": 1, "on_gpu": False}
        started.append(node.NodeChild(sys.executable, target, [PROJECT / "tests"], "?", **place))
        return started[-1]

    yield start
    for each in started:
        each.close()


def ready(rank):
    child = rank(STARTS, seconds=20.0)
    child.call("begin", describe(JOB), probe())
    child._seconds = LIMIT
    return child


def test_calls_and_arrays_take_a_connection_with_the_node(rank, tmp_path):
    child = ready(rank)
    assert (child.host(), child.node, child.name) == ("127.0.0.1", "n2", "rank 1 on n2")
    weights = initial_weights(JOB.workload, 0)
    child.call("set_weights", weights)
    found = child.call("get_weights")
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    child.close()
    assert child._process.returncode == 0  # it ends by itself


def test_who_does_not_know_the_token_is_not_let_in(rank):
    child = rank(STARTS, seconds=20.0)
    address = ("127.0.0.1", child._listener.getsockname()[1])
    wrong, silent = (socket.create_connection(address, timeout=5) for _ in range(2))
    with wrong, silent:
        wrong.sendall(b"0 n3\n")
        assert child.host() == "127.0.0.1"
        assert (wrong.recv(1), silent.recv(1)) == (b"", b"")
    assert child.node == "n2"


def test_a_rank_that_never_starts_is_said_with_slurms_words(rank):
    child = rank("echo 'srun: error: no such node' >&2; exit 3")
    with pytest.raises(
        ChildGoneError,
        match=r"rank 1 on node 1 ended in its start with exit code 3"
        r"(?s:.)*no such node",
    ):
        child.begin("begin", {}, probe())
    child, begin = rank("exec sleep 60"), time.monotonic()
    with pytest.raises(ChildGoneError, match="rank 1 on node 1 did not answer in its start within"):
        child.begin("begin", {}, probe())
    assert time.monotonic() - begin < LIMIT + 3
    assert child._process.returncode == -signal.SIGTERM  # Slurm's word for the end of a step


def test_a_rank_that_is_killed_or_hangs_is_named(rank):
    child = ready(rank)
    child._process.kill()
    with pytest.raises(ChildGoneError, match="rank 1 on n2 ended in get_weights with signal SIGKI"):
        child.call("get_weights")
    for method, arguments in (("get_weights", ()), ("load", (np.zeros(10**7), np.zeros(1)))):
        child = ready(rank)
        child._process.send_signal(signal.SIGSTOP)
        with pytest.raises(ChildGoneError, match=f"rank 1 on n2 did not answer in {method} within"):
            child.call(method, *arguments)
        assert child._process.returncode is not None


def test_a_rank_on_this_node_that_hangs_is_named():
    target, packages = "tests.support.near_softmax:Softmax", [PROJECT / "tests"]
    for method, arguments in (("get_weights", ()), ("load", (np.zeros(10**7), np.zeros(1)))):
        child = Child(sys.executable, target, packages, "?", name="rank 1", seconds=20.0)
        child.call("begin", describe(JOB), probe())
        child._seconds = LIMIT
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(ChildGoneError, match=f"rank 1 did not answer in {method} within 0.5 s"):
            child.call(method, *arguments)
        assert child._process.returncode == -signal.SIGKILL
