"""A figure has one meaning: tables, overview, pairs and plots of a run show the same number."""

from __future__ import annotations

from statistics import median

import pytest

from bench.report.chart import results as charts
from bench.report.chart import training
from bench.report.form import words
from bench.report.form.blocks import Items, Table
from bench.report.section import figures, ratios, results
from bench.report.section.opening import notes
from tests.support.records import blocks_of, make_record, run_of

# Seconds per (round, seed), of every epoch; the first is the warm-up. Jobs have as many epochs, but
# these are uneven: the median of all epochs is not the median of the jobs' medians, and the ratio
# of two backends' times is not the median of the rounds' ratios.
TIMES = {
    "pytorch": {
        (0, 0): (9.0, 1.0, 1.0, 7.0, 8.0),
        (0, 1): (9.0, 2.0, 2.0, 2.0, 9.0),
        (1, 0): (9.0, 3.0, 6.0, 3.0, 3.0),
        (1, 1): (9.0, 10.0, 10.0, 1.0, 10.0),
        (2, 0): (9.0, 2.5, 2.5, 2.5, 2.5),
    },
    "jax": {
        (0, 0): (9.0, 1.0, 1.0, 1.0, 1.0),
        (0, 1): (9.0, 3.0, 3.0, 4.0, 4.0),
        (1, 0): (9.0, 2.0, 2.0, 2.0, 8.0),
        (1, 1): (9.0, 2.0, 2.0, 9.0, 9.0),
        (2, 0): (9.0, 6.0, 6.0, 6.0, 6.0),
    },
    "tensorflow": {
        (0, 0): (9.0, 3.0, 3.0, 3.0, 3.0),
        (0, 1): (9.0, 9.0, 9.0, 9.0, 9.0),
        (1, 1): (9.0, 5.0, 5.0, 5.0, 5.0),
    },
}


def uneven(times=TIMES):
    return run_of(
        *(
            make_record(
                f"{backend}{turn}{seed}",
                times=epochs,
                accuracies=(0.5,) * len(epochs),
                backend=backend,
                round=turn,
                seed=seed,
            )
            for backend, jobs in times.items()
            for (turn, seed), epochs in jobs.items()
        )
    )


def test_the_time_of_a_backend_is_the_median_of_its_jobs_medians():
    rows = uneven().summary.set_index("backend")
    for backend, jobs in TIMES.items():
        of_jobs = [median(epochs[1:]) for epochs in jobs.values()]
        assert rows.loc[backend, "epoch_seconds"] == median(of_jobs)
        assert rows.loc[backend, "epoch_cpu_seconds"] == 2 * median(of_jobs)
        assert rows.loc[backend, "train_examples_per_second"] == 1000 / median(of_jobs)
    every = [time for epochs in TIMES["pytorch"].values() for time in epochs[1:]]
    assert rows.loc["pytorch", "epoch_seconds"] != median(every)


def test_the_ratio_to_the_fastest_is_that_of_the_pair():
    run = uneven()
    rows = run.summary.set_index("backend")
    [best] = rows.index[rows["times_fastest"] == 1]
    for pair in run.pairs:
        if best in (pair.backend, pair.other):
            other, power = (pair.other, -1) if pair.backend == best else (pair.backend, 1)
            expected = pair.comparison.ratio**power
            assert rows.loc[other, "times_fastest"] == pytest.approx(expected)
    seconds = rows["epoch_seconds"]
    assert rows.loc["tensorflow", "times_fastest"] != seconds["tensorflow"] / seconds[best]


def rows_of_chart(chart, **view):
    """The rows of the only panel with a figure: by backend."""
    [panel] = chart.panels
    [rows] = panel.spec["datasets"].values()
    return {
        row["backend"]: row
        for row in rows
        if "value" in row and all(row[name] == value for name, value in view.items())
    }


def test_table_pairs_and_charts_show_the_same_numbers():
    turns = {
        backend: {(turn, 0): jobs[0, turn % 2] for turn in range(12)}
        for backend, jobs in TIMES.items()
    }
    run = uneven(turns)
    rows = run.summary.set_index("backend")
    [table] = blocks_of(Table, figures.section(run))
    shown = {row[1]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    [pairs] = blocks_of(Table, ratios.section(run))
    by_pair = {
        (row[1], column.removeprefix("compared with ")): cell
        for row in pairs.rows
        for column, cell in zip(pairs.columns[2:], row[2:], strict=True)
    }
    [best] = rows.index[rows["times_fastest"] == 1]
    speed = charts.speed(run)
    relative, absolute, cpu = (
        rows_of_chart(speed, clock=clock, form=form)
        for clock, form in (("wall", "relative"), ("wall", "absolute"), ("cpu", "absolute"))
    )
    accuracy, memory = rows_of_chart(charts.accuracy(run)), rows_of_chart(charts.memory(run))
    for name, row in rows.iterrows():
        ratio = shown[name]["ratio to fastest"]
        assert shown[name]["epoch, median"] == absolute[name]["text"]
        assert absolute[name]["text"] == words.seconds(row["epoch_seconds"])
        assert absolute[name]["value"] == row["epoch_seconds"]
        assert relative[name]["text"] == ratio
        assert relative[name]["value"] == row["times_fastest"]
        assert cpu[name]["text"] == shown[name]["CPU time"]
        assert accuracy[name]["text"] == shown[name]["test accuracy"]
        assert accuracy[name]["value"] == 100 * row["test_accuracy"]
        assert memory[name]["text"] == shown[name]["peak memory"]
        if name != best and not row["unsure"]:
            assert by_pair[name, best].startswith(f"{ratio} ")
            interval = f"({relative[name]['low']:.2f} to {relative[name]['high']:.2f})"
            assert interval in by_pair[name, best]
    assert not rows.loc["tensorflow", "unsure"]


def test_the_figures_by_which_the_table_sorts_are_those_of_its_cells():
    [table] = blocks_of(Table, figures.section(uneven()))
    column = table.columns.index("epoch, median")
    for row, keys in zip(table.rows, table.keys, strict=True):
        assert words.seconds(keys[column]) == row[column]
        assert keys[0] is None


def test_a_job_of_one_or_two_epochs_shows_them_all():
    run = uneven({"pytorch": {(0, 0): (33.8, 23.1)}, "jax": {(0, 0): (1.0, 1.5)}})
    [speed] = blocks_of(Table, figures.section(run))
    column = speed.columns.index("fastest to slowest")
    assert [row[column] for row in speed.rows] == ["1.00 s, 1.50 s", "33.8 s, 23.1 s"]
    [start] = blocks_of(Table, results.start_up(run))
    column = start.columns.index("compile and warm-up")
    assert [row[column] for row in start.rows] == ["none", "10.7 s"]
    [items] = blocks_of(Items, figures.section(run))
    assert "* two epochs: the time of the second one; the first is the warm-up." in (items.lines)
    one = uneven({"pytorch": {(0, 0): (33.8,)}})
    assert any(line.startswith("* one epoch") for line in notes(one))


def test_many_rounds_of_two_epochs_show_the_range_of_the_second():
    run = uneven({"pytorch": {(turn, 0): (9.0, 1.0 + turn) for turn in range(3)}})
    [speed] = blocks_of(Table, figures.section(run))
    assert speed.rows[0][speed.columns.index("fastest to slowest")] == "1.00 s to 3.00 s"


def test_ratios_of_one_round_are_provisional():
    run = uneven({name: {(0, 0): jobs[0, 0]} for name, jobs in TIMES.items()})
    relative = rows_of_chart(charts.speed(run), clock="wall", form="relative")
    assert {name: row["text"] for name, row in relative.items()} == {
        "jax": "1.00x",
        "tensorflow": "~3.0x",
        "pytorch": "~4.0x",
    }
    assert "~ may be as fast as the fastest." in notes(run)


def test_backends_without_a_round_in_common_are_not_ranked():
    run = uneven({"pytorch": {(0, 0): (9.0, 1.0)}, "jax": {(1, 0): (9.0, 2.0)}})
    assert run.summary["times_fastest"].isna().all()


def test_an_axis_of_one_value_has_one_tick():
    """A backend alone: all ticks would be drawn at its point."""
    run = uneven({"pytorch": {(0, 0): (9.0,)}})
    for chart in (charts.speed(run), training.time_to_accuracy(run)):
        encodings = [layer["encoding"] for layer in chart.panels[0].spec["layer"]]
        axes = [encoding["x"].get("axis") for encoding in encodings if "x" in encoding]
        values = [axis["values"] for axis in axes if axis and "values" in axis]
        assert values
        assert all(len(ticks) == 1 for ticks in values)
