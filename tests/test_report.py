"""What the report says of records: what is averaged, what is kept apart, what is left out."""

from __future__ import annotations

import io
import re

import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.disturbance import Disturbance
from bench.energy import Counter
from bench.environments import PROJECT
from bench.files import RunError
from bench.machine import this_machine
from bench.measure import Phase
from bench.record import FORMAT, DataUsed, Epoch, Record, Startup, write_record
from bench.report.document import Heading, Items, Plot, Table, Text, to_html, to_markdown
from bench.report.frame import epochs_frame, newest
from bench.report.native import native_blocks
from bench.report.overview import accuracy_overview
from bench.report.page import fill_table
from bench.report.plots import write_plots
from bench.report.summary import summarise
from bench.report.tables import label, notes, print_table
from bench.report.words import gigabytes, per_second, percent, points, seconds
from bench.runs import read_run
from conftest import make_job
from specs.loading import find_suite, find_workload

UNSEEN = Disturbance(other_cpu=None, steal=None, frequency=None, gpu_processes=None, gpu_throttled=None)


def make_record(key="k", *, times=(4.0, 1.0, 3.0, 2.0), accuracies=(0.5, 0.9, 0.8, 0.7), status="ok", data="d", **job):
    """A record of four epochs; the first is slow, the best is not the last."""
    epochs = enumerate(zip(times, accuracies, strict=True), start=1)
    return Record(
        format=FORMAT,
        key=key,
        status=status,
        reason="" if status == "ok" else "why",
        details="",
        job=make_job(**{"epochs": len(times), **job}),
        data=DataUsed(name=data, checksum=data, train_examples=1000, test_examples=100),
        machine=replace(this_machine(), name="m"),
        versions={},
        adapter_checksum="",
        started="2026-01-01T00:00:00Z",
        wall_seconds=1.0,
        cpu_seconds=1.0,
        load_average=0.5,
        disturbance=UNSEEN,
        startup=Startup(
            phases=(make_phase("import", 1.0), make_phase("build", 2.0), make_phase("load", 3.0)),
            weights_checksum="w",
            settings={},
            train_evaluated=10,
            energy=Counter(reason="nobody asked"),
            host_energy=None,
        ),
        epochs=tuple(make_epoch(number, *figures) for number, figures in epochs) if status == "ok" else (),
        inputs=None,
        device_memory=None,
        device_peak_bytes=None,
        device_peak_by=None,
    )


def make_phase(name, value):
    """A phase of so many seconds."""
    return Phase(name=name, wall_seconds=value, cpu_seconds=2 * value, peak_rss_bytes=100)


def make_epoch(number, seconds, accuracy):
    """An epoch that was trained for so long, with the same accuracy on both sets."""
    return Epoch(
        number=number,
        training=make_phase("train", seconds),
        prediction=make_phase("predict", 0.5),
        running_loss=1.0,
        test_loss=1.0,
        test_accuracy=accuracy,
        train_loss=1.0,
        train_accuracy=accuracy,
        order_checksum="o",
    )


def summary(*records):
    return summarise(epochs_frame(records))


def test_accuracy_is_the_last_epochs_and_time_the_median_without_the_first():
    [row] = summary(make_record()).to_dict("records")
    assert row["test_accuracy"] == 0.7
    assert row["epoch_seconds"] == 2.0
    assert row["first_epoch_seconds"] == 4.0
    assert row["startup_seconds"] == 6.0
    assert row["train_examples_per_second"] == 500
    assert row["predict_examples_per_second"] == 200


def test_seeds_are_averaged_and_their_spread_kept():
    [row] = summary(make_record("a", seed=0), make_record("b", seed=1, accuracies=(0, 0, 0, 0.9))).to_dict("records")
    assert row["test_accuracy"] == pytest.approx(0.8)
    assert (row["test_accuracy_low"], row["test_accuracy_high"], row["seeds"]) == (0.7, 0.9, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"data": "e"},
        {"threads": 2},
        {"batch_size": 64},
        {"workload": replace(find_workload("softmax"), loss="mean_squared_error")},
    ],
)
def test_what_differs_in_more_than_the_backend_is_never_compared(other):
    slow = make_record("a", times=(8.0, 8.0, 8.0, 8.0), backend="pytorch")
    table = summary(make_record("b"), replace(slow, job=slow.job))
    assert sorted(table["times_fastest"]) == [1.0, 4.0]
    apart = summary(make_record("b"), make_record("a", times=(8.0, 8.0, 8.0, 8.0), backend="pytorch", **other))
    assert list(apart["times_fastest"]) == [1.0, 1.0]


def test_two_models_of_one_name_are_told_apart():
    other = replace(find_workload("softmax"), loss="mean_squared_error")
    table = summary(make_record("a"), make_record("b", workload=other))
    assert len(set(label(table))) == 2
    titled = replace(find_workload("softmax"), title="x")
    assert len(summary(make_record("a"), make_record("b", seed=1, workload=titled))) == 1
    assert all(name.startswith("softmax ") for name in label(table))


def test_a_failed_seed_is_named_and_the_row_says_of_how_many_jobs_it_is():
    records = [make_record("a", seed=0), make_record("b", seed=1, status="diverged")]
    frame = epochs_frame(records)
    table = summarise(frame)
    assert table[["jobs", "ok_jobs", "test_accuracy"]].iloc[0].tolist() == [2, 1, 0.7]
    told = notes(table, frame)
    assert "softmax reference cpu, seed 1: diverged, why" in told
    assert "softmax reference cpu: figures are of the 1 of 2 jobs that ended ok and agree." in told


def test_only_the_newest_of_two_records_of_one_job_counts():
    old = make_record("a")
    new = replace(old, key="b", started="2026-01-02T00:00:00Z")
    assert newest([new, old]) == [new]
    assert len(newest([old, replace(new, machine=replace(old.machine, name="other"))])) == 2


def test_one_round_is_no_verdict_and_a_busy_machine_is_told():
    frame = epochs_frame([make_record()])
    assert any("not a verdict" in line for line in notes(summarise(frame), frame))
    assert not any("disturbed" in line for line in notes(summarise(frame), frame))
    busy = replace(make_record(), disturbance=replace(UNSEEN, other_cpu=0.5))
    frame = epochs_frame([busy])
    assert "softmax cpu: the only round was disturbed (as: other processes used 50 % of its CPUs)." in notes(
        summarise(frame), frame
    )


def test_the_published_figure_stands_only_beside_the_published_training():
    whole = make_record(times=(1.0,) * 50, accuracies=(0.9,) * 50, batch_size=128)
    assert epochs_frame([replace(whole, data=replace(whole.data, name="mnist"))])["course_accuracy"].iloc[0] == 0.917
    assert epochs_frame([whole])["course_accuracy"].isna().all()
    assert epochs_frame([make_record(data="mnist")])["course_accuracy"].isna().all()


def test_time_to_target_is_training_time_until_the_first_epoch_that_reached_it_and_of_all_jobs_or_none():
    """Epochs of 4, 1, 3 and 2 seconds; softmax's target is 91.7 %."""
    reached = make_record("a", accuracies=(0.5, 0.9, 0.92, 0.91))
    [row] = summary(reached).to_dict("records")
    assert (row["target_jobs"], row["seconds_to_target"], row["epochs_to_target"]) == (1, 8.0, 3)
    [row] = summary(reached, make_record("b", seed=1, accuracies=(0.5, 0.5, 0.5, 0.95))).to_dict("records")
    assert row["seconds_to_target"] == 9.0
    [row] = summary(reached, make_record("b", seed=1)).to_dict("records")
    assert row["target_jobs"] == 1
    assert row["seconds_to_target"] != row["seconds_to_target"]  # not a number
    [row] = summary(reached, make_record("b", seed=1, status="diverged")).to_dict("records")
    assert row["seconds_to_target"] != row["seconds_to_target"]
    without = replace(find_workload("softmax"), recipe=replace(find_workload("softmax").recipe, target_accuracy=None))
    [row] = summary(make_record("a", workload=without)).to_dict("records")
    assert row["target_jobs"] == 0


def test_the_accuracy_table_has_a_column_per_backend_and_names_what_was_not_run():
    records = [
        make_record("a"),
        make_record("b", seed=1, accuracies=(0, 0, 0, 0.9)),
        make_record("c", backend="pytorch"),
    ]
    records.append(make_record("d", backend="keras-jax", status="diverged"))
    table = accuracy_overview(summary(*records), wanted=("cnn", "softmax"))
    assert table.columns == ("workload", "epochs", "published", "reference", "pytorch", "keras-jax")
    assert table.rows == (
        ("cnn", "-", "-", "not run", "not run", "not run"),
        ("softmax", "4", "-", "80.00 % (70.00 to 90.00)", "70.00 %", "diverged"),
    )


def test_the_terminal_table_leaves_out_columns_before_it_cuts_names():
    name = "mlp-relu-dropout-sgd"
    frame = epochs_frame([make_record("a", workload=name, backend="keras-tensorflow")])
    all_three = {"start", "memory", "images/s"}
    for width, columns in ((80, all_three), (74, all_three - {"start"}), (68, {"images/s"}), (60, set())):
        console = Console(width=width, file=io.StringIO())
        print_table(summarise(frame), frame, {}, console)
        text = console.file.getvalue()
        assert name in text
        assert "keras-tensorflow" in text
        assert {column for column in ("start", "memory", "images/s") if column in text} == columns


def test_the_page_is_one_file_with_everything_in_it_and_markup_in_names_is_text(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curves.svg").write_text("<svg/>")
    blocks = [
        Heading("a < b", 1),
        Text("see `x & y`"),
        Items(("one",)),
        Table(("k", "v"), (("<b>", "1.5 s"),)),
        Plot("curves", "c"),
    ]
    page = to_html(blocks, tmp_path)
    assert "<title>a &lt; b</title>" in page
    assert "<code>x &amp; y</code>" in page
    assert '<td>&lt;b&gt;</td><td class="number">1.5 s</td>' in page
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    markdown = to_markdown(blocks)
    assert "# a < b\n\nsee `x & y`\n\n- one\n\n| k | v |\n| --- | --- |\n| <b> | 1.5 s |" in markdown


def test_a_run_in_which_nothing_ended_well_has_a_report_all_the_same(tmp_path):
    frame = epochs_frame([make_record(status="failed")])
    [row] = summarise(frame).to_dict("records")
    assert (row["status"], row["reason"], row["ok_jobs"]) == ("failed", "why", 0)
    assert row["test_accuracy"] != row["test_accuracy"]


def test_a_table_of_several_data_sets_or_machines_is_never_filled_in(tmp_path):
    for record in (make_record("a"), make_record("b", data="e")):
        write_record(tmp_path / "jobs", record)
    with pytest.raises(RunError, match="holds several data sets, machines or devices"):
        fill_table(tmp_path / "page.md", tmp_path, ())


def test_numbers_are_written_as_people_read_them():
    assert (percent(0.98074), percent(None), percent(float("nan"))) == ("98.07 %", "-", "-")
    assert (seconds(12.345), seconds(0.0123), seconds(1780.4), seconds(None)) == ("12.3 s", "12.3 ms", "1,780 s", "-")
    assert (gigabytes(1.5e9), gigabytes(2.5e8), gigabytes(None)) == ("1.50 GB", "250 MB", "-")
    assert (points(-0.0042), points(0.0), points(None)) == ("-0.42", "+0.00", "-")
    assert (per_second(83_412.0), per_second(0.0), per_second(None)) == ("83,400", "-", "-")


def test_the_table_in_the_readme_is_what_the_command_makes_of_the_reference_run(tmp_path):
    page = tmp_path / "README.md"
    page.write_bytes((PROJECT / "README.md").read_bytes())
    wanted = [part.workload for part in find_suite("course").workloads]
    fill_table(page, PROJECT / "results" / "reference", wanted)
    hint = "bench report results/reference --suite course --into README.md"
    assert page.read_text() == (PROJECT / "README.md").read_text(), hint


def native(record, **changes):
    """The record in native mode, its input pipeline read in half a second."""
    settings = {"compiled": False, "optimizer": "SGD lr=0.01"}
    made = replace(record, job=replace(record.job, mode="native"), startup=replace(record.startup, settings=settings))
    inputs = Phase(name="inputs", wall_seconds=0.5, cpu_seconds=0.5, peak_rss_bytes=1)
    return replace(made, key="n", inputs=inputs, **changes)


def test_native_mode_is_a_contestant_of_its_own_and_stands_beside_the_matched_one():
    matched = make_record("a", times=(9.0, 1.0, 1.0, 1.0), backend="pytorch")
    slow = native(make_record("b", times=(9.0, 2.0, 2.0, 2.0), accuracies=(0, 0, 0, 0.8), backend="pytorch"))
    table = summary(matched, slow)
    assert list(table["backend"]) == ["pytorch", "pytorch, native"]
    assert list(table["times_fastest"]) == [1.0, 2.0]
    [_, _, block] = native_blocks(table.assign(label=label(table)))
    [row] = block.rows
    assert row[:5] == ("softmax", "pytorch", "70.00 %", "80.00 %", "+10.00")
    assert row[5:10] == ("1 s", "2 s", "2.00x", "500 ms", "25.00 %")
    assert row[10:] == ("no / no", "SGD lr=0.01")
    assert native_blocks(summary(matched).assign(label="softmax")) == []


def test_a_native_record_survives_the_disk(tmp_path):
    record = native(make_record())
    write_record(tmp_path / "jobs", record)
    assert read_run(tmp_path) == ([record], [])


def test_plots_leave_out_what_was_not_measured_and_make_room_for_long_names(tmp_path):
    frame = epochs_frame([make_record("a", backend="pytorch"), make_record("b", backend="jax")])
    assert write_plots(frame, tmp_path / "plain") == ["curves", "epoch-time", "throughput", "memory"]
    frame.loc[frame["backend"] == "jax", "train_peak_rss_bytes"] = None  # a system that does not tell
    sites = frame["backend"].map("on a node of {} with a name of some length".format)
    write_plots(frame.assign(site=sites), tmp_path / "named")
    plain, named = ((tmp_path / folder / "memory.svg").read_text() for folder in ("plain", "named"))
    assert (plain.count("MB -->"), named.count("MB -->")) == (2, 1)  # what stands at a bar's end
    assert _width(named) > _width(plain) + 100


def _width(svg: str) -> float:
    return float(re.search(r'<svg [^>]*width="([0-9.]+)pt"', svg)[1])
