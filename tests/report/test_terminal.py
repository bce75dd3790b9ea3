"""Tests the summary that ends a run: an answer first, in 24 rows of 80 columns."""

from __future__ import annotations

import io
import re
from math import ceil

from msgspec.structs import replace

from bench.report.terminal.plain import plain_console
from bench.report.terminal.summary import next_command, print_summary
from tests.support.records import make_record, run_of

BACKENDS = ("keras-tensorflow", "keras-jax", "keras-torch", "pytorch", "pytorch-compiled", "jax")


def summary_of(*records, width=80):
    console = plain_console(width=width, file=io.StringIO())
    print_summary(run_of(*records), console)
    return console.file.getvalue().splitlines()


def records(workloads, backends=BACKENDS, **changes):
    return [
        make_record(
            f"{workload}-{backend}",
            workload=workload,
            backend=backend,
            times=(4.0, 1.0 + number, 3.0 + number, 2.0 + number),
            **changes,
        )
        for workload in workloads
        for number, backend in enumerate(backends)
    ]


def test_three_workloads_fit_a_small_terminal_and_the_answer_is_first():
    lines = summary_of(*records(("softmax", "mlp-relu", "cnn")))
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 80
    assert lines[1] == "run: all 18 results agree"
    assert lines[2] == "fastest so far: keras-tensorflow (cnn, mlp-relu, softmax)"
    [header] = [line for line in lines if "backend" in line]
    assert header.count("acc %   epoch  ratio") == 3
    table = lines[lines.index(header) + 2 :][: len(BACKENDS)]
    assert sorted(line.split()[0] for line in table) == sorted(BACKENDS)


def test_no_name_is_cut_however_long():
    both = [
        make_record(f"{name}{size}", workload="mlp-relu-dropout-sgd", batch_size=size, backend=name)
        for name in ("keras-tensorflow", "keras-tensorflow-tuned")
        for size in (1000, 2000, 4000)
    ]
    lines = summary_of(*both)
    assert max(map(len, lines)) <= 80
    for size in (1000, 2000, 4000):
        assert any(f"mlp-relu-dropout-sgd batch {size}" in line for line in lines)
    assert any(line.startswith("keras-tensorflow-tuned ") for line in lines)


def test_a_workload_of_two_epochs_is_marked():
    few = [
        make_record(name, backend=name, times=times, accuracies=(0.1, 0.2), epochs=2)
        for name, times in (("a", (2.0, 1.0)), ("b", (3.0, 2.0)))
    ]
    lines = summary_of(*few)
    assert any(line.split() == ["softmax*"] for line in lines)
    assert any(line.startswith("* two epochs") for line in lines)


def test_a_mark_takes_no_column_of_a_long_name():
    """With its `*`, `mlp-sigmoid batch 4000` was the widest line, and was folded."""
    labels = [(name, size) for name in ("mlp-relu", "mlp-sigmoid") for size in (1000, 2000, 4000)]
    fields = {"backend": "reference", "times": (2.0,), "accuracies": (0.9,)}
    few = [
        make_record(f"{name}{size}", workload=name, batch_size=size, **fields)
        for name, size in labels
    ]
    lines = summary_of(*few)
    assert max(map(len, lines)) <= 80
    for name, size in labels:
        assert any(f"{name} batch {size}*" in line for line in lines), (name, size)


def test_more_workloads_than_fit_stand_below_each_other():
    lines = summary_of(*records(("softmax", "mlp-relu", "cnn", "lenet5")))
    assert sum(line.startswith("jax ") for line in lines) == 2
    assert max(map(len, lines)) <= 80


def test_what_was_not_run_or_failed_is_in_its_cell():
    ran = records(("softmax",), ("a", "b")) + records(("cnn",), ("a",), status="diverged")
    lines = summary_of(*ran)
    assert next(line for line in lines if line.startswith("a ")).split()[1] == "diverged"
    assert next(line for line in lines if line.startswith("b ")).split()[1] == "-"


def rounds_of(number, **changes):
    """Rounds of two backends, of which `a` always takes less time."""
    return [
        replace(record, key=f"{record.key}-{turn}", job=replace(record.job, round=turn))
        for turn in range(number)
        for record in records(("softmax",), ("a", "b"), **changes)
    ]


def test_fastest_is_said_only_of_a_verdict():
    assert summary_of(*rounds_of(2))[2] == "fastest so far: a (softmax)"
    assert summary_of(*rounds_of(12))[2] == "fastest: a (softmax)"


def test_devices_are_not_compared_with_each_other():
    both = [
        replace(record, key=f"{record.key}-{device}", job=replace(record.job, device=device))
        for device in ("cpu", "mps")
        for record in records(("softmax",), ("a", "b"))
    ]
    lines = summary_of(*both)
    assert lines.count("fastest so far: a (softmax)") == 2
    assert sum(line.startswith(("on cpu", "on mps")) for line in lines) == 2


def test_each_seed_of_a_round_counts_as_one():
    seeds = [
        replace(record, key=f"{record.key}-{seed}", job=replace(record.job, seed=seed))
        for seed in range(4)
        for record in records(("softmax",), ("a", "b"))
    ]
    one = next_command(run_of(*records(("softmax",), ("a", "b"))))
    [by_seeds, by_rounds] = (
        int(re.search(r"--rounds (\d+)", text)[1]) for text in (next_command(run_of(*seeds)), one)
    )
    assert by_seeds == ceil(by_rounds / 4)


def test_the_next_command_says_its_rounds_and_minutes():
    command = next_command(run_of(*records(("softmax",), ("a", "b"))))
    assert re.fullmatch(
        r"Next: the same command with --rounds \d+ \(about \d+ min more\)"
        r" detects differences of \d+ %",
        command,
    )
    assert not next_command(run_of(*records(("softmax",), ("a",))))
