"""The summary: what is averaged, what is kept apart, and what is left out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS
from bench.machine.nvml import Gpu
from bench.report.form.blocks import Table
from bench.report.frame.epochs import epochs_frame, newest
from bench.report.section import native as native_section
from bench.report.section.opening import care_lines, notes
from specs.loading import find_workload
from tests.support.records import UNSEEN, blocks_of, make_record, native, run_of, summary
from tests.support.rounds import longer, records


def test_accuracy_is_the_last_epochs_and_time_the_median_without_the_first():
    [row] = summary(make_record()).to_dict("records")
    assert row["test_accuracy"] == 0.7
    assert row["epoch_seconds"] == 2.0
    assert row["first_epoch_seconds"] == 4.0
    assert row["startup_seconds"] == 6.0
    assert row["train_examples_per_second"] == 500
    assert row["predict_examples_per_second"] == 200


def test_seeds_are_averaged_and_their_spread_kept():
    [row] = summary(
        make_record("a", seed=0), make_record("b", seed=1, accuracies=(0, 0, 0, 0.9))
    ).to_dict("records")
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
    assert sorted(table["times_fastest"]) == pytest.approx([1.0, 4.0])
    apart = summary(
        make_record("b"), make_record("a", times=(8.0, 8.0, 8.0, 8.0), backend="pytorch", **other)
    )
    assert list(apart["times_fastest"]) == [1.0, 1.0]


def test_two_models_of_one_name_are_told_apart():
    other = replace(find_workload("softmax"), loss="mean_squared_error")
    table = summary(make_record("a"), make_record("b", workload=other))
    assert table["label"].nunique() == 2
    titled = replace(find_workload("softmax"), title="x")
    assert len(summary(make_record("a"), make_record("b", seed=1, workload=titled))) == 1
    assert all(name.startswith("softmax ") for name in table["label"])


def test_a_failed_seed_is_named_and_the_row_says_of_how_many_jobs_it_is():
    records = [make_record("a", seed=0), make_record("b", seed=1, status="diverged")]
    run = run_of(*records)
    assert run.summary[["jobs", "ok_jobs", "test_accuracy"]].iloc[0].tolist() == [2, 1, 0.7]
    told = notes(run)
    assert "reference cpu: diverged, why (softmax, seed 1)" in told
    assert (
        "softmax reference cpu: figures include only the 1 of 2 jobs that ended ok and agree."
        in told
    )


def test_only_the_newest_of_two_records_of_one_job_counts():
    old = make_record("a")
    new = replace(old, key="b", started="2026-01-02T00:00:00Z")
    assert newest([new, old]) == [new]
    assert len(newest([old, replace(new, machine=replace(old.machine, name="other"))])) == 2


def test_gpus_of_two_models_that_are_both_called_cuda_0_are_two_devices():
    models = [
        Gpu(index=0, uuid=f"GPU-{name}", name=name, memory_bytes=80_000_000_000, driver="580")
        for name in ("NVIDIA A100", "NVIDIA H100")
    ]
    on_gpu = [make_record(key, device="cuda:0") for key in ("a", "b")]
    records = [
        replace(record, machine=replace(record.machine, gpus=(gpu,)))
        for record, gpu in zip(on_gpu, models, strict=True)
    ]
    assert newest(records) == records
    assert {*summary(*records)["device_name"]} == {"NVIDIA A100", "NVIDIA H100"}
    again = replace(records[0], key="c", started="2026-01-02T00:00:00Z")
    assert newest([*records, again]) == [again, records[1]]


def test_a_busy_machine_is_told():
    told = notes(run_of(make_record()))
    assert not any("busy" in line for line in told)
    busy = replace(make_record(), disturbance=replace(UNSEEN, other_cpu=0.5))
    assert (
        "softmax cpu: the machine was busy in the only round (other processes used 50 % of its"
        " CPUs)." in notes(run_of(busy))
    )
    other = replace(
        make_record("b", workload="mlp-relu"), disturbance=replace(UNSEEN, other_cpu=0.4)
    )
    assert (
        "mlp-relu and softmax cpu: the machine was busy in the only round (such as: other processes"
        " used 40 % of its CPUs)."
    ) in notes(run_of(busy, other))


def test_the_published_figure_stands_only_beside_the_published_training():
    whole = make_record(times=(1.0,) * 50, accuracies=(0.9,) * 50, batch_size=128)
    assert (
        epochs_frame([replace(whole, data=replace(whole.data, name="mnist"))])[
            "course_accuracy"
        ].iloc[0]
        == 0.917
    )
    assert epochs_frame([whole])["course_accuracy"].isna().all()
    assert epochs_frame([make_record(data="mnist")])["course_accuracy"].isna().all()


def test_time_to_target_is_training_time_until_the_first_epoch_that_reached_it_if_all_jobs_did():
    """Epochs of 4, 1, 3 and 2 seconds; softmax's target is 91.7 %."""
    reached = make_record("a", accuracies=(0.5, 0.9, 0.92, 0.91))
    [row] = summary(reached).to_dict("records")
    assert (row["target_jobs"], row["seconds_to_target"], row["epochs_to_target"]) == (1, 8.0, 3)
    [row] = summary(reached, make_record("b", seed=1, accuracies=(0.5, 0.5, 0.5, 0.95))).to_dict(
        "records"
    )
    assert row["seconds_to_target"] == 9.0
    [row] = summary(reached, make_record("b", seed=1)).to_dict("records")
    assert row["target_jobs"] == 1
    assert row["seconds_to_target"] != row["seconds_to_target"]  # not a number
    [row] = summary(reached, make_record("b", seed=1, status="diverged")).to_dict("records")
    assert row["seconds_to_target"] != row["seconds_to_target"]
    without = replace(
        find_workload("softmax"),
        recipe=replace(find_workload("softmax").recipe, target_accuracy=None),
    )
    [row] = summary(make_record("a", workload=without)).to_dict("records")
    assert row["target_jobs"] == 0


def test_a_run_in_which_nothing_ended_well_has_a_summary_all_the_same():
    [row] = summary(make_record(status="failed")).to_dict("records")
    assert (row["status"], row["reason"], row["ok_jobs"]) == ("failed", "why", 0)
    assert row["test_accuracy"] != row["test_accuracy"]


def test_native_mode_is_a_backend_of_its_own_and_is_shown_beside_the_matched_one():
    matched = make_record("a", times=(9.0, 1.0, 1.0, 1.0), backend="pytorch")
    slow = native(
        make_record("b", times=(9.0, 2.0, 2.0, 2.0), accuracies=(0, 0, 0, 0.8), backend="pytorch")
    )
    run = run_of(matched, slow)
    table = run.summary
    assert list(table["backend"]) == ["pytorch", "pytorch, native"]
    assert list(table["times_fastest"]) == [1.0, 2.0]
    [block] = blocks_of(Table, native_section.section(run))
    [row] = block.rows
    assert row[:5] == ("softmax", "pytorch", "70.00 %", "80.00 %", "+10.00")
    assert row[5:10] == ("1.00 s", "2.00 s", "~2.0x", "500 ms", "25.00 %")
    assert row[10:] == ("no / no", "SGD lr=0.01")
    assert native_section.section(run_of(matched)) == []


def test_disturbed_rounds_are_left_out_of_times_and_of_ratios_and_that_is_said():
    made = records(range(14), loud=[12, 13], noise=0.0, jax=1, pytorch=2)
    made = [
        replace(r, epochs=tuple(longer(e, 10) for e in r.epochs)) if r.job.round > 11 else r
        for r in made
    ]
    run = run_of(*made)
    rows = run.summary.set_index("backend")
    assert rows.loc["jax", "epoch_seconds"] == rows.loc["jax", "epoch_seconds_high"] == 1.0
    why = "(other processes used 50 % of its CPUs)"
    line = f"softmax cpu: the machine was busy in 2 of 14 rounds {why}; their times are left out."
    assert line in notes(run)
    [pair] = run.pairs
    assert (pair.comparison.rounds, pair.comparison.outcome) == (12, "faster")
    all_loud = run_of(*records(range(14), loud=range(14), jax=1, pytorch=2))
    assert any("14 of 14 rounds" in line and "they are counted" in line for line in notes(all_loud))


def test_a_retired_framework_shows_the_year_of_its_last_release(monkeypatch):
    entry = replace(BACKENDS["pytorch"], retired=2019)
    rows = {**BACKENDS, "old": entry}
    monkeypatch.setattr("bench.records.job.BACKENDS", rows)
    monkeypatch.setattr("bench.report.section.opening.BACKENDS", rows)
    run = run_of(make_record("a", backend="old"), make_record("b", backend="pytorch"))
    assert set(run.summary["backend"]) == {"old (2019)", "pytorch"}
    assert [line for line in notes(run) if "retired" in line] == [
        "old (2019): a retired framework; its last release is of 2019."
    ]
    assert not any("retired" in line for line in notes(run_of(make_record("c"))))


def test_jobs_that_ended_for_one_reason_are_one_line_of_a_backend():
    bad = [
        make_record(name, workload=name, backend="caffe", status="unsupported")
        for name in ("softmax", "cnn", "lenet5")
    ]
    line = "caffe (2017) cpu: unsupported, why (cnn; lenet5; softmax)"
    other = replace(bad[0], key="o", job=replace(bad[0].job, backend="cntk"))
    assert care_lines(run_of(*bad, other)) == [line, "cntk (2019) cpu: unsupported, why (softmax)"]
    # A seed is named where there are several.
    second = replace(bad[1], key="s", job=replace(bad[1].job, seed=1), reason="once")
    assert (
        care_lines(run_of(*bad, second))[1] == "caffe (2017) cpu: unsupported, once (cnn, seed 1)"
    )
