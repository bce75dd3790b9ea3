"""Native jobs are held to the accuracy and loss of the matched jobs of their group.

The records are of real runs, see `results/README.md`.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from statistics import median

import pytest
from msgspec.structs import replace

from bench.records.files import PROJECT
from bench.records.run import read_run
from bench.statistics.judgement import judgements
from bench.statistics.native import (
    excess,
    has_its_workloads_rate,
    native_suspicions,
    shortfall,
)
from tests.support.agreement import verified
from tests.support.jobs import named
from tests.support.records import make_record
from tests.support.trainings import read_trainings

KEPT = ("results/native", "results/breadth", "results/baselines/quick")

_LEARNT = 0.7  # accuracy


@cache
def kept(mode):
    """The kept records of a mode."""
    return [
        record
        for folder in KEPT
        for record in read_run(PROJECT / folder)[0]
        if record.job.mode == mode and record.status == "ok"
    ]


def one(workload, backend="keras-torch", dataset="mnist"):
    """A kept native record."""
    return next(
        record
        for record in kept("native")
        if (record.job.workload.name, record.job.backend) == (workload, backend)
        and record.data.name == dataset
    )


def changed(record, *, last=None, **every):
    """The record with other figures in every epoch, and others in the last one."""
    epochs = [replace(epoch, **every) for epoch in record.epochs]
    epochs[-1] = replace(epochs[-1], **(last or {}))
    return replace(record, epochs=tuple(epochs))


def reason(record, matched=None):
    """Why a native record is suspect; None if it is not held to anything."""
    held_to = kept("matched") if matched is None else matched
    return native_suspicions([record], held_to).get(record.key)


def test_every_kept_native_job_passes_with_a_factor_of_two_to_spare():
    native = kept("native")
    found = native_suspicions(native, kept("matched"))
    held = [record for record in native if record.key in found]
    assert len(held) >= 30
    assert {record.job.backend for record in held} >= {"keras-torch", "keras-tensorflow", "pytorch"}
    for record in held:
        place = (record.job.workload.name, record.data.name, record.job.epochs)
        others = [
            other
            for other in kept("matched")
            if (other.job.workload.name, other.data.name, other.job.epochs) == place
        ]
        last, first = ([other.epochs[epoch] for other in others] for epoch in (-1, 0))
        accuracy = median(epoch.test_accuracy for epoch in last)
        losses = (median(epoch.running_loss for epoch in epochs) for epochs in (last, first))
        by = shortfall(record.epochs[-1].test_accuracy, accuracy, record)
        of_loss = excess(record.epochs[-1].running_loss, *losses)
        assert (by <= 0.5, of_loss <= 0.5) == (True, True), (
            *place,
            record.job.backend,
            by,
            of_loss,
        )


def test_of_two_kept_trainings_with_different_seeds_none_is_further_below_than_the_margin():
    """Each is taken for a native job beside the other, after every epoch of both."""
    groups = defaultdict(list)
    for training in read_trainings():
        for epoch in range(len(training.losses)):
            groups[training.workload, training.dataset, epoch].append(training)
    pairs = 0
    for (workload, _, epoch), trainings in groups.items():
        for a in trainings:
            made = make_record(workload=named(workload), batch_size=128)
            data = replace(
                made.data, train_examples=a.train_examples, test_examples=a.test_examples
            )
            record = replace(made, job=replace(made.job, epochs=epoch + 1), data=data)
            for b in trainings:
                if a.seed != b.seed:
                    by = shortfall(a.accuracies[epoch], b.accuracies[epoch], record)
                    of_loss = excess(a.losses[epoch], b.losses[epoch], b.losses[0])
                    # Plain SGD has learnt little after some 40 steps, and seeds differ more.
                    share = 0.5 if b.accuracies[epoch] > _LEARNT else 0.9
                    assert max(by, of_loss) <= share, (workload, epoch, a.seed, b.seed)
                    pairs += 1
    assert pairs > 1000


@pytest.mark.parametrize("workload", ["softmax", "mlp-relu"])
def test_five_points_less_on_full_mnist_are_found(workload):
    """Five epochs, as in the suite `quick`."""
    honest = one(workload)
    assert reason(honest) == ""
    accuracy = honest.epochs[-1].test_accuracy
    found = reason(changed(honest, last={"test_accuracy": accuracy - 0.05}))
    assert found.startswith(f"accuracy {100 * (accuracy - 0.05):.2f} %, 8 matched jobs have 9")


@pytest.mark.parametrize("workload", ["softmax", "mlp-relu", "mlp-tanh", "lenet5"])
def test_a_job_that_did_not_learn_is_found(workload):
    """Also after one epoch of 4,000 images, in which the matched jobs reached 70 to 84 %."""
    dead = changed(one(workload, "keras-jax", "mnist-5k"), running_loss=2.31, test_accuracy=0.1)
    matched = 12 if workload == "lenet5" else 13  # scikit-learn has no convolutions
    assert f"accuracy 10.00 %, {matched} matched jobs have" in reason(dead)


def test_a_loss_that_is_much_larger_is_found_by_itself():
    honest = one("mlp-relu")
    loss = honest.epochs[-1].running_loss
    assert reason(changed(honest, last={"running_loss": 1.3 * loss})) == ""
    found = reason(changed(honest, last={"running_loss": 3 * loss}))
    assert found.startswith(f"loss {3 * loss:.3g} in the last epoch, 8 matched jobs have 0.0")


def test_a_native_job_that_is_better_passes():
    better = changed(one("mlp-relu"), running_loss=0.0, test_accuracy=1.0)
    assert reason(better) == ""


def test_another_learning_rate_is_not_held_to_the_matched_jobs():
    """Keras's Adadelta has the rate 0.001, the workload 1.0: it hardly learnt."""
    slow = one("cnn", "keras-torch", "mnist-5k")
    assert slow.epochs[-1].test_accuracy < 0.2
    assert not has_its_workloads_rate(slow)
    assert reason(slow) is None
    assert has_its_workloads_rate(one("cnn", "pytorch", "mnist-5k"))
    assert not has_its_workloads_rate(one("mlp-relu", "pytorch"))
    silent = replace(slow, startup=replace(slow.startup, settings={}))
    assert reason(silent) is reason(replace(slow, startup=None)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 4},
        {"batch_size": 64},
        {"device": "cuda:0"},
        {"precision": "bfloat16"},
        {"workload": named("mlp-tanh")},
    ],
    ids=str,
)
def test_where_no_matched_job_is_of_the_group_nothing_is_said(change):
    dead = changed(one("mlp-relu"), running_loss=2.31, test_accuracy=0.1)
    assert reason(dead)
    assert reason(dead, []) is None
    assert reason(replace(dead, job=replace(dead.job, **change))) is None
    assert reason(replace(dead, data=replace(dead.data, checksum="other"))) is None


def test_machine_threads_seed_and_number_of_the_gpu_may_differ():
    dead = changed(one("mlp-relu"), running_loss=2.31, test_accuracy=0.1)
    machine = replace(dead.machine, name="another")
    moved = replace(dead, machine=machine, job=replace(dead.job, threads=64, seed=7))
    assert reason(moved).startswith("accuracy 10.00 %")
    on_gpu, other = (replace(dead, job=replace(dead.job, device=f"cuda:{n}")) for n in (0, 1))
    matched = replace(other, job=replace(other.job, mode="matched"))
    assert reason(on_gpu, [matched]) == ""


def test_a_suspect_native_job_is_judged_so_and_does_not_disagree():
    matched = [record for record in kept("matched") if record.job.workload.name == "mlp-relu"]
    dead = changed(one("mlp-relu"), running_loss=2.31, test_accuracy=0.1)
    found = judgements([*matched, dead])
    assert (found[dead.key].doubt, found[dead.key].counts) == ("suspect", False)
    assert found[dead.key].agrees is None
    held_to = [record for record in matched if record.data.name == "mnist"]
    held_to = [record for record in held_to if record.job.epochs == dead.job.epochs]
    accuracy = 100 * median(record.epochs[-1].test_accuracy for record in held_to)
    loss = median(record.epochs[-1].running_loss for record in held_to)
    assert found[dead.key].reason == (
        f"accuracy 10.00 %, 8 matched jobs have {accuracy:.2f} %; loss 2.31 in the last epoch, 8"
        f" matched jobs have {loss:.3g}"
    )
    assert {found[record.key].doubt for record in matched} == {""}
    assert judgements([dead])[dead.key].doubt == ""


def test_a_matched_job_that_is_wrong_holds_no_native_one():
    dead = changed(one("mlp-relu"), running_loss=2.31, test_accuracy=0.1)
    [matched] = [
        verified(record, loss=9.0)
        for record in kept("matched")
        if (record.job.workload.name, record.job.backend, record.data.name)
        == ("mlp-relu", "pytorch", "mnist")
    ]
    assert judgements([matched, dead])[dead.key].doubt == ""
