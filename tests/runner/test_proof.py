"""Real proofs of wrong backends, and of backends that do not finish."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.machine.host import this_machine
from bench.records.proof import Proof, read_proofs, say
from bench.report.terminal.proofs import print_proofs
from bench.runner.environments import Environments
from bench.runner.proof import make_task, plan, run_proof

pytestmark = pytest.mark.usefixtures("arrays_once")

MODEL = "sigmoid, rmsprop outside"


def proof_by(adapter, folder, places, timeout=600.0) -> Proof:
    """A real proof of an adapter of the tests, on one model, without the checks of behaviour."""
    machine = this_machine()
    task = replace(
        make_task("reference", "matched", "cpu", 1, Environments(), machine), adapter=adapter
    )
    few = replace(plan(task, places), models=(MODEL,), behaviour=(), long=())
    return run_proof(task, few, folder, machine, timeout, lambda done: None)


def test_a_planted_wrong_epsilon_turns_the_proof_red_and_says_where(tmp_path, places):
    made = proof_by("tests.support.mutants:WrongEpsilon", tmp_path, places)
    assert (made.status, made.verdict) == ("ok", "not equal")
    assert f"NOT EQUAL: steps, epoch failed; the worst is steps of '{MODEL}', step" in say(made)
    assert read_proofs([tmp_path]) == [made]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    console = Console(width=100, file=io.StringIO())
    print_proofs([made], console)
    assert "0 of 1 proven equal" in console.file.getvalue()


@pytest.mark.parametrize(
    ("adapter", "status", "reason"),
    [
        ("tests.support.faulty:Raises", "ok", f"'{MODEL}': ValueError: the framework says no"),
        ("tests.support.faulty:IsKilled", "killed", "signal SIGKILL"),
        ("tests.support.faulty:Exits", "failed", "exit code 7"),
        ("tests.support.faulty:CannotBuild", "ok", "no float32 here"),
        ("tests.nowhere:Nothing", "failed", "No module named"),
    ],
)
def test_a_proof_that_does_not_come_to_its_end_is_a_record_and_proves_nothing(
    adapter, status, reason, tmp_path, places
):
    made = proof_by(adapter, tmp_path, places)
    assert (made.status, made.verdict) == (status, "not proven")
    assert say(made).startswith("NOT PROVEN: ")
    assert reason in say(made)


def test_a_proof_that_hangs_is_ended(tmp_path, places):
    made = proof_by("tests.support.faulty:Hangs", tmp_path, places, timeout=5.0)
    assert (made.status, made.verdict) == ("timeout", "not proven")
