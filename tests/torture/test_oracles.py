"""Each oracle finds what it is for, and says nothing of what is all right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from random import Random

import pytest

from tests.torture import calls, oracles, processes
from tests.torture.campaign import Fault, Tried
from tests.torture.figures import of_campaign, read_figures, write_figures
from tests.torture.fuzzed_specs import _read
from tests.torture.mutations import damage, odd_things
from tests.torture.oracles import MARK


@pytest.mark.parametrize(
    ("oracle", "right", "wrong"),
    [
        (oracles.no_traceback, "bench: no such run", "Traceback (most recent call last)\nE: x"),
        (oracles.plain_terminal, "a\tb\nü 中 😀", "a\x1b[2J"),
        (oracles.plain_terminal, "", "a\x9b2J"),
        (oracles.plain_terminal, "\r 50%|x\r0.00B [\x1b[A", f"\r{MARK}"),
        (oracles.plain_terminal, "", "a\u202eb"),
    ],
)
def test_what_reaches_the_terminal(oracle, right, wrong):
    assert oracle(right) == []
    assert len(oracle(wrong)) == 1


@pytest.mark.parametrize(
    ("oracle", "right", "wrong"),
    [
        (oracles.inert_html, f"<p>&lt;{MARK}&gt;</p>", f"<p><{MARK}></p>"),
        (oracles.inert_html, f'<p title="{MARK}">', f'<p title="" {MARK}="1">'),
        (oracles.inert_html, f'<img src="plots/{MARK}.svg">', f'<img src="http://{MARK}/x">'),
        (oracles.inert_html, f"<script>'<{MARK}>'</script>", f"<script></script><{MARK}>"),
        (oracles.inert_html, "<!-- a -->", f"<!--{MARK}"),
        (oracles.inert_markdown, f"| a |\n|-|\n| `<{MARK}>` |", f"| a |\n|-|\n| <{MARK}> |"),
        (oracles.inert_markdown, f"\\<{MARK}>", f"![](http://{MARK}.example/x.png)"),
        (oracles.inert_csv, f"a,'={MARK}", f"a,={MARK}"),
        (oracles.inert_csv, "-1.5,+2", f'"-{MARK}"'),
        (oracles.inert_latex, f"\\textbackslash{{}}{MARK}", f"\\{MARK}{{x}}"),
        (oracles.inert_latex, f"$\\times$ \\${MARK}\\$", f"${MARK}$"),
        (oracles.inert_latex, f"% {MARK} \\{MARK}\n50\\% {MARK}", f"50 % {MARK}"),
    ],
)
def test_a_hostile_text_that_has_an_effect_in_a_document(oracle, right, wrong):
    assert oracle(right, "x") == []
    assert len(oracle(wrong, "x")) == 1


def test_xml():
    assert oracles.sound_xml(f"<a b='{MARK}'>&lt;{MARK}></a>".encode(), "x") == []
    assert len(oracles.sound_xml(f"<a><{MARK}/></a>".encode(), "x")) == 1
    assert len(oracles.sound_xml(b"<a>\x1b</a>", "x")) == 1


def test_half_files_and_what_is_left(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.json").write_text('{"a": 1}')
    assert oracles.whole_files(tmp_path) == oracles.nothing_left(tmp_path) == []
    (tmp_path / "jobs" / "a.json").write_text('{"a": ')
    (tmp_path / "jobs" / ".b.json.123.tmp").write_text("")
    assert [fault.oracle for fault in oracles.whole_files(tmp_path)] == ["half a file"]
    assert [fault.oracle for fault in oracles.nothing_left(tmp_path)] == ["left behind"]


def test_records_that_are_lost_doubled_or_different():
    expected = {"a": {"weights": 1}, "b": {"weights": 2}}
    assert oracles.same_records(expected, expected) == []
    found = {"a": {"weights": 3}, "c": {"weights": 2}}
    kinds = [fault.oracle for fault in oracles.same_records(found, expected)]
    assert kinds == ["lost record", "doubled record", "different record"]
    healthy = Counter(["a", "b"])
    assert oracles.healthy_reported(iter(["a", "b", "c"]), healthy, "x") == []
    assert len(oracles.healthy_reported(iter(["a"]), healthy, "x")) == 1


def test_an_orphan_is_found_in_a_session_of_its_own_and_ended():
    variables = {**os.environ, "TORTURE_MARK": "of-this-test"}
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, env=variables, start_new_session=True) as orphan:
        time.sleep(0.1)
        assert processes.no_orphans(["of-another"], time.monotonic()) == []
        found = processes.no_orphans(["of-this-test"], time.monotonic() - 1.9)
        assert [fault.oracle for fault in found] == ["orphan"]
        assert orphan.wait(5) == -9
    assert processes.marked("of-this-test") == []


def test_a_call_that_writes_elsewhere_is_found(tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    command = ["check", str(run), "--against", str(run), "--junit", str(out / "x.xml")]
    (run / "jobs").mkdir(parents=True)
    refused = calls.call(command, tmp_path, [out])  # there is no record
    assert refused.code == 2
    assert refused.faults == []
    for path in processes.PROJECT.glob("results/baselines/quick/jobs/softmax.*.json"):
        (run / "jobs" / path.name).write_bytes(path.read_bytes())
    done = calls.call(command, tmp_path, [out])
    assert done.code == 0
    assert [fault.oracle for fault in done.faults] == ["write elsewhere"]
    assert str(run / "check.md") in done.elsewhere.replace(".check.md", "check.md")
    assert calls.call(command, tmp_path, [out, run]).faults == []


def test_a_reader_that_takes_what_is_no_error_is_found(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert _read("workload", path)[0] == []

    def broken(_path):
        raise KeyError("x")

    monkeypatch.setattr("tests.torture.fuzzed_specs.load_workload", broken)
    assert [fault.oracle for fault in _read("workload", path)[0]] == ["traceback"]


def test_a_seed_damages_a_record_in_one_way_only(tmp_path):
    record = {"key": "k", "job": {"seed": 1, "backend": "a"}, "epochs": [1.5, 2.5]}
    damaged = [damage(record, Random(seed)) for seed in range(50)]
    assert damaged == [damage(record, Random(seed)) for seed in range(50)]
    assert len({content for content, _ in damaged}) > 40
    assert record == {"key": "k", "job": {"seed": 1, "backend": "a"}, "epochs": [1.5, 2.5]}
    assert len(odd_things(tmp_path)) == len([*tmp_path.iterdir()]) == 10


def test_a_killed_campaign_goes_on_and_one_of_other_code_begins_with_new_seeds(tmp_path):
    figures = read_figures(tmp_path, 60, "commit")
    campaign = of_campaign(figures, "mirrors", 10, "mirrors")
    campaign.add(Tried(2, [Fault("traceback", "\ud800")], ["a"]), 1.0)
    campaign.add(Tried(1, [], ["a", "b"]), 1.0)
    figures.spent_seconds = 2.0
    write_figures(tmp_path, figures)

    again = read_figures(tmp_path, 60, "commit")
    assert again.spent_seconds == 2.0
    assert again.campaigns["mirrors"].next_seed == 2
    assert again.campaigns["mirrors"].kinds == {"a": 2, "b": 1}
    [failure] = json.loads((tmp_path / "figures.json").read_bytes())["campaigns"]["mirrors"][
        "failures"
    ]
    assert failure["repeat"] == "nox -s torture -- --only mirrors --seed 0"
    assert "| mirrors | 3 mirrors | 10 | 2 | 1 | 1 |" in (tmp_path / "README.md").read_text()

    new = read_figures(tmp_path, 60, "other")
    assert new.spent_seconds == 0.0
    assert (new.campaigns["mirrors"].next_seed, new.campaigns["mirrors"].tries) == (2, 0)
