"""`bench.load`, and the notebook of the documents."""

from __future__ import annotations

import altair as alt
import pandas as pd
import pytest

import bench
from bench.records.files import PROJECT, RunError
from bench.records.stored import write
from bench.report.chart import style
from bench.report.chart.files import svgs_of
from bench.report.chart.style import LOOKS, looks_of
from bench.report.document.write import charts_of
from bench.report.form.blocks import Chart
from bench.report.page import blocks_of
from bench.report.run import Run
from specs.errors import UserError
from tests.support.records import make_record

QUICK = PROJECT / "results" / "baselines" / "quick"
CHARTS = (
    *("speed", "accuracy", "memory", "start_up", "time_to_accuracy", "curves"),
    "break_even",
)


def test_a_run_has_frames_with_units_and_meanings():
    run = bench.load(str(QUICK))
    assert len(run.summary) == len(run.jobs) == 23
    assert len(run.epochs) == 94
    assert run.summary.attrs["units"]["epoch_seconds"] == "s"
    assert run.epochs.attrs["meanings"]["test_accuracy"] == "Accuracy on them."
    assert isinstance(run.jobs["started"].dtype, pd.DatetimeTZDtype)
    assert run.disagreements.empty
    assert repr(run).endswith("verified by their first steps>")


def test_a_wrong_result_is_the_first_thing_in_a_notebook_and_has_a_frame(tmp_path):
    names = ("pytorch", "jax", "keras-jax", "tensorflow")
    for name in names:
        low = 0.3 if name == "jax" else 0.95
        accuracies = (0.9, 0.9, 0.9, low)
        write(tmp_path / "jobs", make_record(name, backend=name, accuracies=accuracies))
    run = bench.load(tmp_path)
    assert list(run.disagreements["backend"]) == ["jax"]
    shown = run._repr_html_()
    assert shown.index("1 of 4 results disagrees") < shown.index("Do they agree?")
    assert "No: 1 of 4 jobs not ranked" in shown


def test_a_ratio_reads_the_same_both_ways(tmp_path):
    for number in range(20):
        for name, seconds in (("pytorch", 2.0), ("jax", 1.0)):
            job = {"backend": name, "round": number, "times": (9.0, seconds, seconds, seconds)}
            write(tmp_path / "jobs", make_record(f"{name}{number}", **job))
    run = bench.load(tmp_path)
    slow = run.ratio("pytorch", "jax", workload="softmax")
    fast = run.ratio("jax", "pytorch", workload="softmax")
    assert (slow.value, fast.value) == (2.0, 0.5)
    assert (slow.verdict, fast.verdict) == ("slower", "faster")
    assert fast.low == 1 / slow.high
    with pytest.raises(UserError, match="compared 0 times on cnn"):
        run.ratio("pytorch", "jax", workload="cnn")


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_a_valid_altair_chart(name):
    chart = getattr(bench.load(QUICK).charts, name)()
    assert isinstance(chart, alt.ConcatChart)
    chart.to_dict()  # validates it


def test_the_charts_of_the_page_are_valid_vega_lite():
    charts = charts_of(blocks_of(Run.read(QUICK)))
    assert len(charts) == len(CHARTS)  # the baseline has no sweep, and keeps no limits
    for chart in charts:
        for panel in chart.panels:
            alt.Chart.from_dict(panel.spec)


def test_no_run_is_told():
    with pytest.raises(RunError, match="is not a results folder"):
        bench.load("nothing")


def _luminance(colour):
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_backends_look_different_and_can_be_seen_on_light_and_dark():
    names = (*LOOKS, "a framework of others", "another", "pytorch@2.12.0", "pytorch@2.13.0")
    looks = looks_of(names)
    assert len(set(looks.values())) == len(names)
    for shade, _ in looks.values():
        light = _luminance(shade) + 0.05
        assert 1.05 / light >= 3
        assert light / (_luminance("#14181f") + 0.05) >= 3
    assert {name: looks[name] for name in LOOKS} == LOOKS
    assert looks["pytorch@2.12.0"][0] == looks["pytorch"][0]
    assert looks_of(["pytorch, native"])["pytorch, native"][0] == LOOKS["pytorch"][0]
    assert looks_of(["pytorch@2.12.0", "pytorch"])["pytorch"] == LOOKS["pytorch"]


@pytest.mark.parametrize("name", ["a\x01b", "\x1b[31mred", "\ud800", "x\uffff", "a\u202eb"])
def test_a_name_with_any_character_is_drawn(name):
    """Some would end the process that draws."""
    [panel] = [
        style.panel(name, style.layers(style.shown().mark_point().encode(x="v:Q")), [row], rows=1)
        for row in [{"backend": name, "v": 1.5, "text": name}]
    ]
    chart = Chart("c", "", (panel,))
    [svg] = svgs_of(chart)
    assert svg.startswith("<svg ")


def test_only_places_are_rounded_in_a_chart_and_no_text():
    marks = style.shown().mark_text().encode(x="v:Q", text="text:N")
    rows = [{"backend": "jax", "v": value, "text": "10.0.100.5"} for value in (1 / 3, 1 / 7)]
    [svg] = svgs_of(Chart("c", "", (style.panel("t", style.layers(marks), rows, rows=1),)))
    assert svg.count(">10.0.100.5</text>") == 2
    assert "333333" not in svg


def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = (pytest.importorskip(name) for name in ("nbformat", "nbclient"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(PROJECT / "docs" / "results.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": PROJECT}}
    )
    client.execute()
    [speed] = [
        output
        for cell in notebook.cells
        if cell.source == "run.charts.speed()"
        for output in cell.outputs
    ]
    assert "keras-torch" in str(speed.data)
