"""Children that are called together: whose failure is told, and that nobody waits for ever."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from backends.contract import Unsupported
from backends.far import team
from backends.far.child import Child, ChildError, ChildGoneError
from backends.far.near import probe
from bench.records.files import PROJECT

WAIT, LAST = 1.0, 0.4


@pytest.fixture
def members(monkeypatch):
    monkeypatch.setattr(team, "WAIT_SECONDS", WAIT)
    monkeypatch.setattr(team, "LAST_SECONDS", LAST)
    target = "tests.support.near_member:Member"
    children = [
        Child(sys.executable, target, [PROJECT / "tests"], "?", name=f"member {n}", seconds=20.0)
        for n in range(2)
    ]
    made = team.Team(children)
    for number, child in enumerate(children):
        child.call("begin", {"number": number}, probe())
        child._seconds = WAIT
    yield made
    made.end()


def act(members, *plan, seconds=None):
    members.begin("act", plan)
    return members.results(seconds)


def test_results_are_in_order_and_the_first_may_take_as_long_as_it_takes(members):
    assert act(members, ["sleep", 0.2], ["go on"]) == [0, 1]
    assert act(members, ["sleep", 1.5], ["sleep", 1.5]) == [0, 1]
    assert not members.ended


@pytest.mark.parametrize(
    ("plan", "kind", "text"),
    [
        (
            (["sleep", 9], ["raise", "ImportError", "no libcudnn"]),
            ChildGoneError,
            "member 0 did not answer in act within 0.4 s; before that member 1: act: ImportError",
        ),
        ((["sleep", 9], ["raise", "Unsupported", "no such GPU"]), Unsupported, "no such GPU"),
        ((["sleep", 9], ["raise", "MemoryError", "too large"]), MemoryError, "too large"),
        (
            (["kill", signal.SIGABRT], ["sleep", 9]),  # as JAX does when another one is stopped
            ChildGoneError,
            "member 1 did not answer in act within 0.4 s; before that member 0 ended in act",
        ),
        (
            (["kill", signal.SIGABRT], ["kill", signal.SIGKILL]),
            ChildGoneError,
            "member 1 ended in act with signal SIGKILL",
        ),
        ((["go on"], ["sleep", 9]), ChildGoneError, "member 1 did not answer in act within 1 s"),
    ],
    ids=["error", "unsupported", "memory", "stopped", "killed", "hangs"],
)
def test_the_likely_cause_is_raised_and_all_are_ended(members, plan, kind, text):
    with pytest.raises(kind) as error:
        act(members, *plan)
    assert str(error.value).startswith(text)
    assert members.ended
    assert all(child.has_ended() for child in members.children)


def test_the_cause_is_told_although_a_call_fails_in_its_victim(members):
    """Between two calls: process 0 aborts, as process 1 was killed."""
    for child, number in zip(members.children, (signal.SIGABRT, signal.SIGKILL), strict=True):
        os.kill(child.pid, number)
        child._process.wait()
    with pytest.raises(ChildGoneError, match="member 1 ended in act with signal SIGKILL"):
        act(members, ["go on"], ["go on"])
    assert members.ended


def test_a_call_to_the_first_alone_has_no_limit_and_notices_the_end_of_another(members):
    assert members.first("act", [["sleep", 1.5]]) == 0
    members.children[0].begin("act", [["sleep", 9]])
    os.kill(members.children[1].pid, signal.SIGKILL)
    with pytest.raises(
        ChildGoneError, match="member 1 ended in a call to another rank with signal SIGKILL"
    ):
        members._results(members.children[:1], None, [])


def test_a_team_that_failed_is_not_used_again(members):
    with pytest.raises(ChildError):
        members.first("no such method")
    assert members.ended
    with pytest.raises(ChildError):
        members.begin("act", [["go on"], ["go on"]])


def test_an_own_error_is_raised_unless_a_child_failed(members):
    members.begin("act", [["go on"], ["go on"]])
    with pytest.raises(RuntimeError, match="own"):
        members.results(LAST, RuntimeError("own"))
    assert members.ended
