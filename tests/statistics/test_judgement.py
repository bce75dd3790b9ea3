"""Which results may be believed: those that are verified, agree with others, and learnt."""

from __future__ import annotations

from math import inf, nan

import pytest
from msgspec.structs import replace

from bench.records.files import PROJECT
from bench.records.run import read_run
from bench.statistics.judgement import CONFIRMED_DEVICES, judgements, own_doubt
from bench.worker.lines import INFINITE, JobVerification
from specs.loading import find_workload
from tests.support.agreement import result, verified


def doubts(*records):
    """Key -> doubt, of the records that have one."""
    return {key: found.doubt for key, found in judgements(records).items() if found.doubt}


def learnt(**changes):
    """A result alone whose epochs or last epoch are changed."""
    of_last, accuracy = changes.pop("of_last", {}), changes.pop("accuracy", 0.98)
    made = result("a", accuracy=accuracy, **changes)
    return replace(made, epochs=(*made.epochs[:-1], replace(made.epochs[-1], **of_last)))


@pytest.mark.parametrize(
    ("device", "deviation", "doubt"),
    [
        ("cpu", 0.5, ""),
        ("cpu", 1.0, ""),
        ("cpu", 1.01, "wrong"),
        ("cpu", 49.0, "wrong"),
        ("cpu", INFINITE, "wrong"),
        ("cuda:0", 1.0, ""),
        ("cuda:0", 1.01, "unconfirmed"),
        ("cuda:0", 50.0, "unconfirmed"),
        ("cuda:0", 50.1, "wrong"),
        ("cuda:0", INFINITE, "wrong"),
        ("mps", 2.0, "unconfirmed"),
        ("mps", 51.0, "wrong"),
    ],
)
def test_a_deviation_above_its_tolerance_is_wrong_where_the_tolerances_are_confirmed(
    device, deviation, doubt
):
    made = verified(result("a", device=device), **{"1.kernel": deviation, "loss": 0.1})
    [judgement] = judgements([made]).values()
    assert judgement.doubt == doubt
    assert judgement.counts == (doubt != "wrong")
    assert judgement.agrees is None
    if doubt and deviation < INFINITE:
        assert judgement.reason == (
            "the change of 1.kernel in its first steps differs from the reference by"
            f" {deviation:.3g} times its tolerance"
        )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("loss", "the loss in its first steps does not match the reference"),
        ("prediction", "the prediction after its last epoch does not match the reference"),
        ("3.bias", "the change of 3.bias in its first steps does not match the reference"),
    ],
)
def test_the_reason_names_what_deviates_most(name, text):
    made = verified(result("a"), **{"1.kernel": 2.0, name: INFINITE})
    assert judgements([made])["a"].reason == text


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("names", [("loss", "1.kernel"), ("1.kernel", "loss")])
def test_a_deviation_that_is_no_number_is_wrong_wherever_it_stands(value, device, names):
    deviations = dict(zip(names, (0.1, value), strict=True))
    for ordered in (deviations, dict(reversed(deviations.items()))):
        found = JobVerification(method="exact", steps=3, partial_batch=0, deviations=ordered)
        assert own_doubt(found, device)[0] == "wrong"


def test_a_job_that_could_not_be_verified_is_not_in_doubt_for_that():
    found = JobVerification(method="exact", steps=3, partial_batch=0, not_verified="too long")
    assert own_doubt(found, "cpu") == own_doubt(None, "cpu") == ("", "")
    assert doubts(replace(result("a"), verification=found)) == {}


def test_a_wrong_result_moves_no_median_and_the_other_of_two_backends_is_not_named():
    wrong = verified(result("x", loss=0.43), loss=40.0)
    assert doubts(result("a"), wrong) == {"x": "wrong"}
    assert judgements([result("a"), wrong])["a"].agrees is None
    # With it two of four would be far off, and the median between them.
    second = verified(result("y", loss=0.44), loss=40.0)
    found = judgements([result("a"), result("b"), wrong, second])
    assert {key: (j.doubt, j.agrees) for key, j in found.items()} == {
        "a": ("", True),
        "b": ("", True),
        "x": ("wrong", None),
        "y": ("wrong", None),
    }
    # Three wrong results outvote the others unless they are left out.
    outvoting = [verified(result(name, loss=0.43), loss=40.0) for name in "xyz"]
    assert doubts(result("a"), result("b"), *outvoting) == dict.fromkeys("xyz", "wrong")


def test_a_wrong_result_is_wrong_even_if_its_losses_agree():
    assert doubts(result("a"), result("b"), verified(result("x"), prediction=2.0)) == {"x": "wrong"}


def test_a_result_alone_is_judged_after_the_wrong_one_is_left_out():
    """Nothing is left to compare it with, so it must have learnt."""
    flat = learnt(of_last={"running_loss": 0.22})
    assert doubts(flat, verified(result("x"), loss=40.0)) == {"a": "suspect", "x": "wrong"}


def test_a_verified_result_that_disagrees_still_disagrees():
    others = [verified(result(name), loss=0.2) for name in "ab"]
    assert doubts(*others, verified(result("x", loss=0.43), loss=0.2)) == {"x": "disagrees"}
    unconfirmed = verified(result("x", loss=0.43, device="mps"), loss=3.0)
    on_mps = [verified(result(name, device="mps"), loss=0.2) for name in "ab"]
    found = judgements([*on_mps, unconfirmed])
    assert (found["x"].doubt, found["x"].agrees, found["x"].counts) == ("disagrees", False, False)


def test_an_unconfirmed_result_is_compared_with_the_others_and_they_with_it():
    two = [result("a", device="cuda:0"), verified(result("x", device="cuda:0"), loss=3.0)]
    found = judgements(two)
    assert (found["a"].doubt, found["a"].agrees) == ("", True)
    assert (found["x"].doubt, found["x"].agrees, found["x"].counts) == ("unconfirmed", True, True)


SUSPECTS = {
    "the loss did not fall: 0.22 in the first epoch, 0.22 in the last": learnt(
        of_last={"running_loss": 0.22}
    ),
    "the loss did not fall: 0.22 in the first epoch, 0.23 in the last": learnt(
        of_last={"running_loss": 0.23}
    ),
    "the loss did not fall: 0.22 in the first epoch, nan in the last": learnt(
        of_last={"running_loss": nan}
    ),
    # A chance of 10 % on 10,000 images has a standard error of 0.3 points.
    "accuracy 10.00 % is no better than chance": learnt(accuracy=0.10),
    "accuracy 11.70 % is no better than chance": learnt(accuracy=0.117),
    "accuracy nan % is no better than chance": learnt(accuracy=nan),
    "1 of 10 classes are never predicted": learnt(of_last={"predicted_classes": 9}),
}


@pytest.mark.parametrize("reason", SUSPECTS)
def test_a_result_alone_that_did_not_learn_is_suspect(reason):
    [judgement] = judgements([SUSPECTS[reason]]).values()
    assert (judgement.doubt, judgement.reason) == ("suspect", reason)
    assert not judgement.counts
    verified_alone = verified(SUSPECTS[reason], loss=0.1)
    assert doubts(verified_alone) == {"a": "suspect"}


@pytest.mark.parametrize(
    "record",
    [record for reason, record in SUSPECTS.items() if "nan" not in reason],
    ids=[reason for reason in SUSPECTS if "nan" not in reason],
)
def test_what_another_backend_did_alike_is_the_workloads_own(record):
    other = replace(record, key="b", job=replace(record.job, backend="b"))
    assert doubts(record, other) == {}


def test_what_learnt_is_not_suspect():
    assert doubts(learnt(accuracy=0.12)) == {}
    assert doubts(learnt(of_last={"predicted_classes": 10})) == {}
    one_epoch = replace(result("a"), epochs=result("a").epochs[-1:])
    assert doubts(one_epoch) == {}
    native = learnt(of_last={"running_loss": 0.22}, mode="native")
    assert doubts(native) == {}


def test_a_job_of_few_steps_is_not_asked_what_it_learnt():
    """1,000 examples, four epochs: in batches of 32 these are 128 steps, in batches of 42 96."""
    assert doubts(learnt(of_last={"predicted_classes": 7})) == {"a": "suspect"}
    for changes in ({"of_last": {"predicted_classes": 7}}, {"accuracy": 0.1}):
        assert doubts(learnt(batch_size=42, **changes)) == {}


def test_chance_is_that_of_the_workloads_classes_and_images():
    """Of 100 images 28 % may be chance."""
    assert doubts(learnt(accuracy=0.27, images=100)) == {"a": "suspect"}
    assert doubts(learnt(accuracy=0.29, images=100)) == {}
    spec = find_workload("softmax")
    two = replace(spec, input=replace(spec.input, classes=2))
    assert doubts(learnt(accuracy=0.5, workload=two)) == {"a": "suspect"}


def test_only_jobs_that_ended_ok_are_judged():
    failed = verified(result("x", status="failed"), loss=40.0)
    assert list(judgements([result("a"), failed])) == ["a"]


def test_a_verified_run_is_kept_for_each_kind_of_device_whose_tolerances_are_confirmed():
    """Its deviations are at most half a tolerance."""
    records, _ = read_run(PROJECT / "results/baselines/quick")
    for kind in CONFIRMED_DEVICES:
        of_kind = [record for record in records if record.job.device.partition(":")[0] == kind]
        assert len(of_kind) >= 20
        worst = {record.key: record.verification.worst for record in of_kind}
        assert max(deviation for _, deviation in worst.values()) <= 0.5, worst
