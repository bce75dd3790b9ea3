"""Tests what is shown during a run.

A job whose result disagrees is red as soon as that is known.
"""

from __future__ import annotations

import io
import re

import pytest
from msgspec.structs import replace

from bench.command.progress import ProgressDisplay, expected_seconds, in_minutes
from bench.data.dataset import DataSet
from bench.report.terminal.plain import plain_console
from tests.support.agreement import result, run_of_seven, verified
from tests.support.tasks import make_task


def test_a_display_begins_at_once_however_many_records_there_are(monkeypatch):
    """Calls are counted, as times vary: each earlier record is kept, and none is judged."""
    earlier = [
        result(name, key=f"{name}{turn}", round=turn) for name in "abcdefgh" for turn in range(50)
    ]
    for name in ("judge", "judgements"):
        monkeypatch.setattr(f"bench.command.progress.{name}", lambda _: pytest.fail("judged"))
    display = ProgressDisplay(plain_console(file=io.StringIO()), "m", earlier)
    assert sum(map(len, display._ended.values())) == 400


def task_of(record):
    """The task that a record is of."""
    data = DataSet(
        name="d",
        folder="",
        checksum=record.data.checksum,
        train_examples=1000,
        test_examples=record.data.test_examples,
        shape=(28, 28, 1),
        classes=10,
    )
    task = make_task("backends.reference.oracle:Reference", data)
    return replace(task, key=record.key, job=record.job)


def shown(records, earlier=(), *, advance=False):
    """The lines that a display shows, with their colours, while jobs end one after the other."""
    console = plain_console(
        file=io.StringIO(),
        width=200,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    display = ProgressDisplay(console, "m", earlier)
    tasks = [task_of(record) for record in records]
    display.planned(tasks)
    for task, record in zip(tasks, records, strict=True):
        display.started(task)
        display.advanced(task, record.epochs[:1])
        if advance:
            return display._bar.tasks[0].description
        display.ended(task, record, reused=False)
    return [line for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_jobs_own_line_is_red_as_soon_as_it_ends():
    lines = shown(run_of_seven())
    assert len(lines) == 7
    red = [line for line in lines if "\x1b[1;31m" in line]
    assert red == [lines[-1]]
    assert "wrong" in red[0]
    assert "DISAGREES: loss 0.432 in epoch 1, the median of the others is 0.22" in red[0]


def test_a_backend_is_judged_by_all_its_rounds():
    """One of two backends is wrong in its third round; its first two rounds tell which one."""
    rounds = [result(name, key=f"{name}{turn}", round=turn) for turn in range(3) for name in "ab"]
    rounds[-1] = result("b", key="b2", loss=0.43, round=2)
    lines = shown(rounds)
    assert [number for number, line in enumerate(lines) if "DISAGREES" in line] == [5]
    assert len(lines) == 6


def test_while_it_runs_it_is_red_after_its_first_epoch():
    right, wrong = run_of_seven(batch_size=128)[:-1], run_of_seven(batch_size=128)[-1:]
    assert shown(wrong, right, advance=True) == "[bold red]1/1 cnn wrong DISAGREES[/]"
    assert shown(right[:1], right[1:], advance=True) == "1/1 cnn a"
    assert shown(wrong, advance=True) == "1/1 cnn wrong"


def test_while_it_runs_it_is_not_compared_with_a_wrong_result():
    [right, wrong] = (
        result("a", batch_size=128),
        verified(result("x", loss=0.43, batch_size=128), loss=9.0),
    )
    assert shown([right], [wrong], advance=True) == "1/1 cnn a"
    unverified = replace(wrong, verification=None)
    assert shown([right], [unverified], advance=True) == "[bold red]1/1 cnn a DISAGREES[/]"


def test_while_it_runs_every_epoch_is_compared():
    """The second epoch alone is off."""
    right = [result(name, workload="mlp-tanh") for name in "abc"]
    made = result("x", workload="mlp-tanh")
    second = replace(made.epochs[1], running_loss=made.epochs[1].running_loss * 1.001)
    epochs = (made.epochs[0], second, *made.epochs[2:])
    display = ProgressDisplay(plain_console(file=io.StringIO()), "m", right)
    task = task_of(made)
    display.planned([task])
    display.started(task)
    display.advanced(task, epochs[:1])
    assert "DISAGREES" not in display._bar.tasks[0].description
    display.advanced(task, epochs[:2])
    assert "DISAGREES" in display._bar.tasks[0].description


def test_each_doubt_has_its_name_and_only_an_unconfirmed_result_is_not_red():
    records = [
        verified(result("a", device="cuda:0"), loss=9.0),
        verified(result("b", device="cuda:0", seed=1), loss=90.0),
        result("c", device="cuda:0", seed=2, accuracy=0.1),
    ]
    lines = shown(records)
    said = ("UNCONFIRMED: the loss", "WRONG: the loss", "SUSPECT: accuracy 10.00 %")
    assert [text in line for text, line in zip(said, lines, strict=True)] == [True] * 3
    assert ["\x1b[1;31m" in line for line in lines] == [False, True, True]


def test_a_suspect_result_is_believed_when_another_backend_agrees():
    lines = shown([result(name, accuracy=0.1) for name in "ab"])
    said = [("SUSPECT" in line, "no longer in doubt" in line) for line in lines]
    assert said == [(True, False), (False, False), (False, True)]


def test_a_job_that_runs_again_is_not_compared_with_its_earlier_record():
    """`x` was wrong with an older adapter, and is right now."""
    stale = [replace(result("x", key="old", loss=0.43), started="2025-01-01T00:00:00Z")]
    lines = shown([result("a"), result("x")], [*stale, result("b")])
    assert not any("DISAGREES" in line or "no longer in doubt" in line for line in lines)


def test_what_ended_before_it_could_be_known_is_shown_again():
    right, [wrong] = run_of_seven()[:2], run_of_seven()[-1:]
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown([wrong, *right])]
    said = ("these two disagree", "the median of the others", "no longer in doubt")
    assert [(line[1], *(text in line for text in said)) for line in lines] == [
        ("1", False, False, False),  # alone
        ("1", True, False, False),  # of two, both
        ("2", True, False, False),
        ("3", False, False, False),
        ("2", False, False, True),
    ]


def test_the_time_left_is_weighted_by_work(monkeypatch):
    """Of a small and a ten times larger job the small one is done, in twice its guessed time."""
    now = 0.0
    monkeypatch.setattr("bench.command.progress.monotonic_seconds", lambda: now)
    small, large = result("a", key="a"), result("b", key="b")
    tasks = [task_of(small), task_of(large)]
    display = ProgressDisplay(plain_console(file=io.StringIO()), "m")
    monkeypatch.setattr("bench.command.progress._guess", lambda task: {"a": 10, "b": 100}[task.key])
    display.planned(tasks)
    assert display.position() == (0.0, 0.0)
    display.started(tasks[0])
    assert display.position() == (pytest.approx(0.0), pytest.approx(110))
    display.ended(tasks[0], replace(small, wall_seconds=20.0), reused=False)
    display.started(tasks[1])
    assert display.position() == (pytest.approx(10 / 110), pytest.approx(200))
    now = 100.0
    assert display.position() == (pytest.approx(60 / 110), pytest.approx(100))
    now = 1000.0  # later than expected: the clock alone never says that a job is done
    assert display.position()[1] == pytest.approx(10)


def test_expected_minutes_are_those_of_the_same_job_before():
    before = replace(result("a", key="a"), wall_seconds=77.0)
    task, other = task_of(before), task_of(result("b", key="b"))
    assert expected_seconds([task], [before]) == 77.0
    assert expected_seconds([task, other], [before]) > 77.0
    assert (in_minutes(20), in_minutes(300), in_minutes(9000)) == (
        "less than a minute",
        "about 5 min",
        "about 2.5 hours",
    )
