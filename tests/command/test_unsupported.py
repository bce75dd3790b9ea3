"""A run of which nothing ran says so, unless it is a known gap that nobody asked for."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.report.terminal.unsupported import nothing_ran
from tests.support.records import make_record

REASONS = {"ok": "", "unsupported": "no driver", "failed": "it broke"}


def records(backend, device="cpu", status="unsupported", workload="softmax", count=1, **changes):
    job = {"backend": backend, "device": device, "workload": workload, **changes}
    return [
        replace(make_record(f"k{seed}", **job, seed=seed), status=status, reason=REASONS[status])
        for seed in range(count)
    ]


GPU = "cuda:0"
# the records, the backends and the devices that the user named, and the lines
CASES = {
    "all ran": (records("pytorch", status="ok"), ("pytorch",), None, []),
    "one job of several ran": (
        [*records("jax"), *records("jax", status="ok", workload="cnn")],
        ("jax",),
        None,
        [],
    ),
    "a failed job has tried": (records("jax", status="failed"), ("jax",), None, []),
    "an old driver, by default on all devices": (
        [
            *records("pytorch", status="ok"),
            *records("pytorch", GPU, count=2),
            *records("jax", GPU, "ok"),
        ],
        None,
        None,
        ["no job of pytorch ran on cuda:0: 2 jobs unsupported: no driver"],
    ),
    "a framework without code for GPUs, by default": (
        [*records("scikit-learn", status="ok"), *records("scikit-learn", GPU)],
        None,
        None,
        [],
    ),
    "the same, named, on a machine with a GPU": (
        [*records("scikit-learn", status="ok"), *records("scikit-learn", GPU)],
        ("scikit-learn",),
        None,
        [],
    ),
    "the same, beside one that ran, on a named GPU": (
        [*records("scikit-learn", GPU), *records("jax", GPU, "ok")],
        None,
        ("gpu",),
        [],
    ),
    "the same, named on a named GPU": (
        [*records("scikit-learn", GPU), *records("jax", GPU, "ok")],
        ("scikit-learn", "jax"),
        (GPU,),
        ["no job of scikit-learn ran on cuda:0: 1 job unsupported: no driver"],
    ),
    "nothing on a named GPU": (
        [*records("scikit-learn", GPU), *records("reference", GPU)],
        None,
        (GPU,),
        ["no job ran on cuda:0: 2 jobs unsupported: no driver"],
    ),
    "layers that a framework has not, by default": (
        [*records("scikit-learn", workload="cnn"), *records("jax", status="ok", workload="cnn")],
        None,
        None,
        [],
    ),
    "the same, named": (
        [*records("scikit-learn", workload="cnn"), *records("jax", status="ok", workload="cnn")],
        ("scikit-learn", "jax"),
        None,
        ["no job of scikit-learn ran on cpu: 1 job unsupported: no driver"],
    ),
    "a precision that a framework has not, by default": (
        [*records("scikit-learn", precision="bfloat16"), *records("jax", status="ok")],
        None,
        None,
        [],
    ),
    "the same precision, named": (
        [*records("scikit-learn", precision="bfloat16"), *records("jax", status="ok")],
        ("scikit-learn", "jax"),
        None,
        ["no job of scikit-learn (bfloat16) ran on cpu: 1 job unsupported: no driver"],
    ),
    "a precision that only a GPU has, by default": (
        records("jax", precision="tf32"),
        None,
        None,
        ["no job of jax (tf32) ran on cpu: 1 job unsupported: no driver"],
    ),
    "a layer that it has, by default": (
        records("scikit-learn"),
        None,
        None,
        ["no job of scikit-learn ran on cpu: 1 job unsupported: no driver"],
    ),
    "Apple's GPU, named, and there is none": (
        [*records("pytorch", "mps"), *records("pytorch", status="ok")],
        None,
        ("mps", "cpu"),
        ["no job of pytorch ran on mps: 1 job unsupported: no driver"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_could_not_run_at_all_is_named_if_it_was_asked_for(case):
    found, backends, devices, lines = CASES[case]
    assert nothing_ran(found, backends, devices) == lines


def test_a_run_of_which_nothing_ran_says_so_last_and_fails(bench):
    code, out, _ = bench("run", "softmax", "--backend", "reference", "--device", "mps")
    assert code == 1
    last = out.strip().splitlines()[-1]
    assert last.startswith("no job of reference ran on mps: 1 job unsupported: ")
