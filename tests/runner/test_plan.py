"""Which jobs a run has, and in which order."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.records.key import job_key
from bench.runner.plan import Options, PlanError, Training, make_groups, make_jobs, make_round
from specs.loading import find_suite, find_workload
from specs.width import widened


def test_jobs_of_one_cell_stand_together_and_their_order_turns(mnist_5k):
    options = Options(backends=("pytorch", "reference"), devices=("cpu",), threads=1, rounds=3)
    trainings = [
        Training(workload=find_workload(name), data=mnist_5k, epochs=1)
        for name in ("softmax", "cnn")
    ]
    jobs = [job for job, _ in make_jobs(trainings, options, find_suite("smoke"))]
    assert [job.backend[0] for job in jobs] == [*"prpr", *"rprp", *"prpr"]
    assert [job.workload.name for job in jobs] == ["softmax", "softmax", "cnn", "cnn"] * 3
    assert [job.round for job in jobs] == [0] * 4 + [1] * 4 + [2] * 4


def test_jobs_of_one_precision_stand_together_and_a_suites_native_jobs_are_in_float32(mnist_5k):
    options = Options(
        backends=("pytorch", "jax"),
        devices=("cpu",),
        threads=1,
        seeds=(0,),
        rounds=1,
        native=("pytorch",),
        precisions=("float32", "bfloat16"),
    )
    trainings = [Training(workload=find_workload("softmax"), data=mnist_5k, epochs=1)]
    groups = make_groups(trainings, options)
    assert [group.precision for group in groups] == ["float32", "bfloat16"]
    jobs = [job for job, _ in make_jobs(trainings, options, find_suite("smoke"))]
    assert [(job.backend, job.mode, job.precision) for job in jobs] == [
        ("pytorch", "matched", "float32"),
        ("pytorch", "native", "float32"),
        ("jax", "matched", "float32"),
        ("pytorch", "matched", "bfloat16"),
        ("jax", "matched", "bfloat16"),
    ]
    asked_for = replace(options, native=(), modes=("matched", "native"))
    both = [job for job, _ in make_jobs(trainings, asked_for, find_suite("smoke"))]
    unusual = [job.mode for job in both if job.precision == "bfloat16"]
    assert unusual == ["matched", "native", "matched"], "the adapter says why it is unsupported"


def test_modes_stand_together_and_what_has_no_native_mode_is_left_out(mnist_5k):
    options = Options(
        backends=("pytorch", "jax"),
        devices=("cpu",),
        threads=1,
        modes=("matched", "native"),
        seeds=(0,),
        rounds=1,
    )
    trainings = [Training(workload=find_workload("softmax"), data=mnist_5k, epochs=1)]
    jobs = [job for job, _ in make_jobs(trainings, options, find_suite("smoke"))]
    assert [(job.backend, job.mode) for job in jobs] == [
        ("pytorch", "matched"),
        ("pytorch", "native"),
        ("jax", "matched"),
    ]
    with pytest.raises(PlanError, match="none of jax has a native mode"):
        make_jobs(
            trainings, replace(options, backends=("jax",), modes=("native",)), find_suite("smoke")
        )


def test_of_every_two_repetitions_the_second_is_the_first_reversed_and_lots_are_fair(mnist_5k):
    backends = ("pytorch", "jax", "tensorflow")
    options = Options(backends=backends, devices=("cpu",), threads=1, rounds=400, seeds=(0,))
    trainings = [Training(workload=find_workload("softmax"), data=mnist_5k, epochs=1)]
    jobs = [job for job, _ in make_jobs(trainings, options, find_suite("smoke"))]
    orders = [
        tuple(job.backend for job in jobs[start : start + 3]) for start in range(0, len(jobs), 3)
    ]
    assert orders[0] == backends
    assert all(
        second == first[::-1] for first, second in zip(orders[::2], orders[1::2], strict=True)
    )
    assert all(abs(orders.count(order) - 400 / 6) < 30 for order in set(orders))
    assert len(set(orders)) == 6
    groups = make_groups(trainings, options)
    assert [job for job, _ in make_round(groups, options, find_suite("smoke"), 7)] == jobs[21:24]


MLP = find_workload("mlp-relu")


def test_width_1_is_the_workload_itself_and_its_jobs_keep_their_keys(mnist_5k):
    assert widened(MLP, 1) is MLP
    options = Options(backends=("reference",), devices=("cpu",), threads=1)
    plain = Training(workload=MLP, data=mnist_5k, epochs=1)
    swept = Training(workload=widened(MLP, 1), data=mnist_5k, epochs=1, batch_size=128)
    keys = [
        [job_key(job) for job, _ in make_jobs([one], options, find_suite("smoke"))]
        for one in (plain, swept)
    ]
    assert keys[0] == keys[1]
