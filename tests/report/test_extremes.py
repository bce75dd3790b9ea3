"""Whatever is read can be reported: every number of a run at once at an end of its bounds."""

from __future__ import annotations

import copy
import json

import pytest
from msgspec.structs import replace

from bench.records.job import Record
from bench.records.limits import EngineLimits
from bench.records.noise import Calibration
from bench.records.stored import LeftOut, read_file, write
from bench.records.turns import Turns
from bench.records.verification import Verification
from bench.report.document.html import to_html
from bench.report.document.write import charts_of
from bench.report.export.pytest_benchmark import pytest_benchmark
from bench.report.form.csv import comma_separated
from bench.report.form.markdown import to_markdown
from bench.report.page import blocks_of
from bench.report.run import Run
from bench.statistics import gate
from bench.statistics.doubts import check_doubts
from tests.support.records import (
    made_calibration,
    made_limits,
    made_turns,
    made_verification,
    make_record,
    native,
)

KINDS = {
    "jobs": Record,
    "limits": EngineLimits,
    "noise": Calibration,
    "turns": Turns,
    "verifications": Verification,
}
HIGH, LOW, NEGATIVE = (1e50, 10**18, 10**9, 50.0, 1.0), (0, 1e-9, 1), (-1e50, -(10**18), -50.0, 0)
# What jobs must have in common to be compared.
KEPT = {"format", "workload", "seed", "round", "number", "threads", "epochs", "batch_size"}


def places_of_numbers(part, above=()):
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if key in KEPT and not isinstance(value, list):
            continue
        if isinstance(value, dict | list):
            yield from places_of_numbers(value, (*above, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*above, key)


def pushed(path, kind, values):
    """Replace every number in a file by the first of the values with which it is still read."""
    content, changed = json.loads(path.read_text()), 0
    for place in [*places_of_numbers(content)]:
        for value in values:
            target = other = copy.deepcopy(content)
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = value
            path.write_text(json.dumps(other))
            if not isinstance(read_file(path, kind), LeftOut):
                content, changed = other, changed + 1
                break
    path.write_text(json.dumps(content))
    return changed


@pytest.fixture
def run(tmp_path):
    for backend in ("pytorch", "reference"):
        record = make_record(backend, backend=backend, times=(2.0, 1.0), accuracies=(0.5, 0.9))
        write(tmp_path / "jobs", record)
    write(tmp_path / "jobs", native(make_record(backend="pytorch")))
    write(tmp_path / "limits", made_limits())
    write(tmp_path / "noise", made_calibration())
    write(tmp_path / "turns", made_turns(jobs=("pytorch", "reference")))
    write(tmp_path / "verifications", replace(made_verification(), adapter_checksum=""))
    return tmp_path


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ends", [(LOW,), (HIGH, LOW), (NEGATIVE, HIGH)])
def test_numbers_at_the_ends_of_their_bounds_are_reported(ends, run):
    paths = sorted(run.rglob("*.json"))
    changed = sum(
        pushed(path, KINDS[path.parent.name], ends[number % len(ends)])
        for number, path in enumerate(paths)
    )
    assert changed > 100
    read = Run.read(run)
    assert not read.left_out
    blocks = blocks_of(read)
    assert "| pytorch |" in to_markdown(blocks)
    charts = charts_of(blocks)
    to_html(blocks, {chart.name: [""] * len(chart.panels) for chart in charts}, "")
    for chart in charts:
        json.dumps([panel.spec for panel in chart.panels], allow_nan=False)
    for frame in (read.epochs, read.summary):
        assert comma_separated(frame)
    assert pytest_benchmark(read)
    check_doubts(read.records, None)
    assert gate.check(read.records, read.records)
    assert not read.left_out
