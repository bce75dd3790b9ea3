"""Runs over time: since when did a figure change, and which version did."""

from __future__ import annotations

from msgspec.structs import replace

from bench.records import stored
from tests.support.records import make_record


def runs(folder, *records):
    """A run per record, a day after the other."""
    for day, record in enumerate(records, start=1):
        started = f"2026-01-{day:02}T00:00:00Z"
        stored.write(folder / f"day{day}" / "jobs", replace(record, started=started))
    return [f"day{day}" for day in range(1, len(records) + 1)]


def record(accuracy=0.95, seconds=1.0, torch="2.12", **changes):
    made = make_record(
        "a", times=(9.0, seconds, seconds, seconds), accuracies=(0.5, 0.6, 0.7, accuracy), **changes
    )
    return replace(made, versions={"torch": torch}, data=replace(made.data, test_examples=10_000))


def test_a_change_is_named_with_its_date_and_versions(bench, tmp_path):
    names = runs(tmp_path, record(), record(), record(0.90, torch="2.13"), record(0.90))
    code, output, _ = bench("history", *reversed(names), "--output", "out")
    assert code == 0
    changes = [line for line in output.splitlines() if ", since " in line]
    expected = "since 2026-01-03 00:00 (day3): accuracy -5.00 points (torch 2.12 to 2.13)"
    assert changes == [f"softmax reference, {expected}"]
    page = (tmp_path / "out" / "report.md").read_text()
    assert changes[0] in page
    assert page.count("| softmax | reference | 2026-01-0") == 4


def test_time_and_status_are_followed_and_noise_is_no_change(bench, tmp_path):
    names = runs(tmp_path, record(), record(0.951, 1.3), record(seconds=3.0))
    output = bench("history", *names)[1]
    assert "since 2026-01-03 00:00 (day3): epoch time ~2.3x (the same versions)" in output
    assert output.count("since") == 1
    bad = replace(record(), status="failed", reason="why", epochs=())
    names = runs(tmp_path, record(), bad, record())
    output = bench("history", *names)[1]
    assert "ok became failed" in output
    assert "failed became ok" in output
    assert "nothing changed" in bench("history", *runs(tmp_path, record(), record()))[1]


def test_results_of_other_settings_are_not_compared(bench, tmp_path):
    names = runs(tmp_path, record(), record(0.5, batch_size=64))
    assert "nothing changed" in bench("history", *names)[1]


def test_what_is_no_history_is_told(bench, tmp_path):
    [name] = runs(tmp_path, record())
    code, _, errors = bench("history", name)
    assert code == 2
    assert "a single run has no history" in errors
    names = runs(tmp_path, record(), record())
    code, _, errors = bench("history", *names, "--output", name)
    assert code == 2
    assert "whose report would be overwritten" in errors
