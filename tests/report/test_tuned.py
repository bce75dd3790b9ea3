"""Tuned variants in the report: gain, warm-up and break-even."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backends.registry import UNTUNED
from bench.report.chart.style import LOOKS
from bench.report.form.blocks import Items, Table
from bench.report.frame.epochs import epochs_frame
from bench.report.section import results, tuned
from bench.worker.lines import ShortEpochs
from tests.support.jobs import VARIANTS
from tests.support.records import blocks_of, make_record, run_of, summary

STEADY = (2.0,) * 3


def both(rounds, *, plain=STEADY, variant, cpu=1.0, build=2.0, **job):
    """A run of eager and of compiled PyTorch.

    Given are the seconds of epochs, their CPU seconds per second, and the seconds of the build. The
    eager one takes 1 CPU second per second, and its build 2 s.
    """
    backends = (("pytorch", plain, 1.0, 2.0), ("pytorch-compiled", variant, cpu, build))
    return run_of(
        *(
            made_record(
                f"{backend}{turn}",
                backend,
                times,
                own_cpu,
                own_build,
                5.0 if turn % 4 == 0 else 1.0,
                turn,
                job,
            )
            for turn in range(rounds)
            for backend, times, own_cpu, own_build in backends
        )
    )


def made_record(key, backend, times, cpu, build, slow, turn, job):
    """A record of a round that is slower by a factor, as on a busy machine."""
    times, build = tuple(slow * time for time in times), slow * build
    record = make_record(
        key, times=times, accuracies=(0.5,) * len(times), backend=backend, round=turn, **job
    )
    imported, built, loaded = record.startup.phases
    phases = (imported, replace(built, wall_seconds=build), loaded)
    epochs = tuple(
        replace(
            epoch, training=replace(epoch.training, cpu_seconds=cpu * epoch.training.wall_seconds)
        )
        for epoch in record.epochs
    )
    return replace(record, startup=replace(record.startup, phases=phases), epochs=epochs)


def row(run):
    [table] = blocks_of(Table, tuned.section(run))
    [found] = table.rows
    return dict(zip(table.columns, found, strict=True))


def test_gain_in_wall_and_cpu_time_and_break_even_are_told_of_each_variant():
    """The variant pays off after 10 epochs.

    Its build takes 7 s longer, its first epoch 3 s longer than its steady ones, and it saves 1 s
    per epoch.
    """
    found = row(both(12, variant=(4.0, 1.0, 1.0), cpu=3.0, build=9.0))
    assert (found["variant"], found["plain form"]) == ("pytorch-compiled", "pytorch")
    assert found["what it changes"].startswith("`torch.compile`")
    assert found["wall time, ratio"] == "0.50x (0.50 to 0.50) faster"
    assert found["CPU time, ratio"] == "1.50x (1.50 to 1.50) slower"
    assert found["break-even after"] == "10 epochs"


def test_a_variant_that_is_no_faster_never_pays_however_quick_its_start():
    found = row(both(12, variant=STEADY, build=0.0))
    assert found["wall time, ratio"] == "1.00x (1.00 to 1.00) same"
    assert found["break-even after"] == "never (its epochs are slower)"
    assert row(both(12, variant=(1.5, 1.5, 1.5), build=0.0))["break-even after"] == "1 epoch"
    assert row(both(1, variant=STEADY, build=0.0))["break-even after"].startswith("~never")


def test_one_round_is_provisional_one_epoch_no_break_even_and_a_gpus_cpu_time_is_not_the_work():
    found = row(both(1, variant=(1.0, 1.0, 1.0), device="cuda:0"))
    assert found["wall time, ratio"] == "~0.50x undecided"
    assert found["CPU time, ratio"] == "-"
    assert row(both(1, plain=(2.0,), variant=(1.0,)))["break-even after"] == "-"


def test_rounds_that_disagree_on_break_even_are_shown_as_a_range():
    fast = both(3, variant=(1.0, 1.0, 1.0), build=3.0)
    slow = both(3, variant=(3.0, 3.0, 3.0), build=3.0)
    late = "pytorch-compiled1"
    records = [r for r in fast.records if r.key != late]
    records += [r for r in slow.records if r.key == late]
    assert row(run_of(*records))["break-even after"] == "~1 epoch (1 to never)"


def test_without_its_plain_form_or_with_failed_jobs_alone_a_variant_is_not_compared():
    records = both(3, variant=STEADY).records
    alone = [record for record in records if record.job.backend == "pytorch-compiled"]
    assert tuned.section(run_of(*alone)) == []
    failed = [replace(record, status="failed") for record in records]
    assert tuned.section(run_of(*failed)) == []


def test_a_backend_without_a_variant_is_named_with_the_reason():
    run = both(1, variant=STEADY)
    also = make_record("scikit-learn", times=STEADY, accuracies=(0.5,) * 3, backend="scikit-learn")
    [items] = blocks_of(Items, tuned.section(run_of(*run.records, also)))
    assert items.lines == (f"`scikit-learn` has no tuned variant: {UNTUNED['scikit-learn']}",)


def slow_starts(epochs, jobs, backend="jax"):
    """Jobs whose first three epochs take 9, 3 and 2 s, the others 1 s, with 0.1 % of noise."""
    import numpy as np

    random = np.random.RandomState(0)
    return [
        make_record(
            f"{backend}{turn}",
            times=tuple(
                np.array((9.0, 3.0, 2.0) + (1.0,) * (epochs - 3))
                * np.exp(0.001 * random.normal(size=epochs))
            ),
            accuracies=(0.5,) * epochs,
            backend=backend,
            round=turn,
        )
        for turn in range(jobs)
    ]


def test_a_warm_up_of_three_epochs_is_left_out_of_the_steady_ones_where_it_can_be_found():
    frame = epochs_frame(slow_starts(24, 5))
    assert set(frame["warm_up_epochs"]) == {3}
    assert frame["steady"].sum() == 5 * 21
    [found] = summary(*slow_starts(24, 5)).to_dict("records")
    assert found["warm_up_epochs"] == 3
    assert found["warm_up_seconds"] == pytest.approx(8 + 2 + 1, abs=0.1)
    assert found["epoch_seconds"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("epochs", "jobs"), [(19, 5), (24, 1)])
def test_with_few_epochs_or_one_job_only_the_first_epoch_is_known_to_be_warm_up(epochs, jobs):
    assert set(epochs_frame(slow_starts(epochs, jobs))["warm_up_epochs"]) == {1}


def test_one_backends_warm_up_is_not_anothers():
    calm = [
        make_record(f"p{n}", times=(1.0,) * 24, accuracies=(0.5,) * 24, backend="pytorch", round=n)
        for n in range(5)
    ]
    frame = epochs_frame([*slow_starts(24, 5), *calm])
    assert dict(frame.groupby("backend")["warm_up_epochs"].max()) == {"jax": 3, "pytorch": 1}


def test_start_up_names_what_is_steady_and_one_epoch_alone_is_not():
    for times, expected in (
        ((4.0, 1.0, 1.0), ["1", "3.00 s", "1.00 s"]),
        ((4.0,), ["-", "-", "-"]),
    ):
        run = run_of(make_record(times=times, accuracies=(0.5,) * len(times)))
        [table] = blocks_of(Table, results.start_up(run))
        [row] = table.rows
        cells = dict(zip(table.columns, row, strict=True))
        titles = ("warm-up epochs", "compile and warm-up", "steady epoch")
        assert [cells.get(title, "-") for title in titles] == expected


def test_the_fixed_cost_of_an_epoch_is_by_a_short_and_a_whole_epoch():
    """A step of 100 of 1,000 examples takes 0.1 s; an epoch has 0.5 s beside its ten steps."""
    short = ShortEpochs(examples=100, wall_seconds=(0.6, 9.0, 0.6))
    for times, expected in (
        ((4.0, 1.5, 1.5), "500 ms (33 %)"),
        ((8.0, 6.0, 6.0), "none"),  # the steps of the short epochs took no longer
        ((1.5,), "-"),  # this epoch includes the warm-up
    ):
        record = make_record(times=times, accuracies=(0.5,) * len(times))
        run = run_of(replace(record, short_epochs=short))
        [table] = blocks_of(Table, results.start_up(run))
        cells = dict(zip(table.columns, table.rows[0], strict=True))
        assert cells.get("fixed cost of an epoch", "-") == expected


@pytest.mark.framework
def test_a_run_takes_the_variants_of_its_backends_with_tuned_and_the_report_sets_them_side_by_side(
    bench, tmp_path
):
    code, _, error = bench(
        *(
            "run",
            "softmax",
            "--tuned",
            "--backend",
            "keras-tensorflow",
            "--device",
            "cpu",
            "--rounds",
            "2",
        ),
        *("--dataset", "mnist-5k", "--epochs", "2", "--threads", "1", "--turns", "0"),
    )
    assert code == 0, error
    page = (tmp_path / "results" / "softmax" / "report.md").read_text()
    _, _, rest = page.partition("## Tuned variants")
    [line] = [
        line
        for line in rest.splitlines()
        if line.startswith("| softmax | keras-tensorflow-tuned |")
    ][:1]
    assert "| keras-tensorflow | `steps_per_execution=16`" in line
    assert line.count("undecided") == 2


def test_every_tuned_variant_has_the_colour_of_its_engine():
    assert set(VARIANTS) <= set(LOOKS)
