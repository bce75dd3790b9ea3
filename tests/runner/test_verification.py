"""Real verifications of wrong backends, and of backends that do not finish."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace

from bench.machine.host import this_machine
from bench.records.verification import Verification, read_verifications, say
from bench.report.terminal.plain import plain_console
from bench.report.terminal.verifications import print_verifications
from bench.runner.environments import Environments
from bench.runner.tasks import run_tasks
from bench.runner.verification import make_record, make_task
from tests.support.tasks import Watcher

pytestmark = pytest.mark.usefixtures("arrays_once")

MODEL = "sigmoid, rmsprop outside"


def verification_by(adapter, folder, places, timeout=600.0) -> Verification:
    """A real verification of a test adapter, on one model, without the checks of behaviour."""
    machine = this_machine()
    task = make_task("reference", "matched", "cpu", 1, Environments(), machine, places)
    few = replace(task.assignment, adapter=adapter, models=(MODEL,), behaviour=(), long=())
    [record] = run_tasks(
        [replace(task, assignment=few)],
        folder,
        machine,
        make_record,
        timeout=timeout,
        observer=Watcher(),
    )
    return record


def test_a_planted_wrong_epsilon_turns_the_verification_red_and_says_where(tmp_path, places):
    made = verification_by("tests.support.mutants:WrongEpsilon", tmp_path, places)
    assert (made.status, made.verdict) == ("ok", "not equal")
    assert f"NOT EQUAL: steps, epoch failed; the worst is steps of '{MODEL}', step" in say(made)
    assert read_verifications([tmp_path]) == ([made], [])
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    console = plain_console(width=100, file=io.StringIO())
    print_verifications([made], console)
    assert "0 of 1 verified equal" in console.file.getvalue()


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
def test_a_verification_that_does_not_come_to_its_end_is_a_record_and_proves_nothing(
    adapter, status, reason, tmp_path, places
):
    made = verification_by(adapter, tmp_path, places)
    assert (made.status, made.verdict) == (status, "not verified")
    assert say(made).startswith("NOT VERIFIED: ")
    assert reason in say(made)


def test_a_verification_that_hangs_is_ended(tmp_path, places):
    made = verification_by("tests.support.faulty:Hangs", tmp_path, places, timeout=5.0)
    assert (made.status, made.verdict) == ("timeout", "not verified")
