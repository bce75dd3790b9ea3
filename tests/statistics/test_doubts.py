"""Which results `bench check` says may not be believed, and which it only remarks on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.statistics.doubts import check_doubts
from bench.worker.lines import JobVerification
from tests.support.agreement import verified
from tests.support.gate import result
from tests.support.records import native


def unverified(record, reason):
    """The record of a job that could not be verified."""
    found = JobVerification(method="exact", steps=0, partial_batch=0, not_verified=reason)
    return replace(record, verification=found)


def test_what_failed_or_is_in_native_mode_has_no_case_and_one_backend_alone_has_one():
    by_itself = native(result(0.98))
    assert check_doubts([by_itself, result(0.5, seed=1, status="failed")]) == []
    [case] = check_doubts([result(0.98), result(0.98, seed=1), by_itself])
    assert (case.backends, case.passed) == (("pytorch",), True)
    [case] = check_doubts(
        [result(0.98), result(0.98, backend="jax"), result(0.5, backend="x", status="failed")]
    )
    assert (case.backends, case.passed) == (("pytorch", "jax"), True)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (verified(result(0.98), loss=3.0), "wrong, the loss in its first steps differs from"),
        (result(0.1), "suspect, accuracy 10.00 % is no better than chance"),
    ],
)
def test_one_backend_alone_may_be_in_doubt(record, reason):
    [case] = check_doubts([record])
    assert (case.workload, case.device, case.doubtful) == ("softmax", "cpu", ("pytorch",))
    assert case.reasons[0].startswith(f"pytorch, batch size 32, seed 0: {reason}")
    assert not case.passed
    assert check_doubts([record], backends=["jax"]) == []


def test_what_is_unconfirmed_passes_with_a_remark():
    unconfirmed = verified(result(0.98, device="cuda:0"), loss=3.0)
    [case] = check_doubts([result(0.98, device="cuda:0", seed=1), unconfirmed])
    assert (case.device, case.passed, case.doubtful) == ("cuda", True, ())
    [remark] = case.remarks
    assert remark == (
        "pytorch, batch size 32, seed 0: unconfirmed, the loss in its first steps differs from the"
        " reference by 3 times its tolerance"
    )
    [case] = check_doubts([verified(result(0.98), loss=0.3)])
    assert case.remarks == ()


def test_a_job_that_could_not_be_verified_passes_with_a_remark_per_reason():
    run = [
        *(unverified(result(0.98, seed=seed), "too long") for seed in (0, 1)),
        unverified(result(0.98, backend="jax"), "too long"),
        unverified(result(0.98, backend="x"), "no way back"),
        result(0.98, backend="y"),
    ]
    [case] = check_doubts(run)
    assert case.passed
    assert case.remarks == (
        "pytorch, jax: not verified by the first steps, too long",
        "x: not verified by the first steps, no way back",
    )


def test_a_job_in_doubt_has_its_reason_and_no_remark():
    [case] = check_doubts([unverified(result(0.1), "too long")])
    assert (len(case.reasons), case.remarks) == (1, ())


def test_a_native_job_much_worse_than_the_matched_one_is_in_doubt_under_its_own_name():
    fine = native(result(0.975), optimizer="RMSprop lr=0.001")
    [case] = check_doubts([result(0.98), fine])
    assert (case.backends, case.passed) == (("pytorch",), True)
    [case] = check_doubts([result(0.98), native(result(0.1), optimizer="RMSprop lr=0.001")])
    assert (case.backends, case.doubtful) == (("pytorch", "pytorch, native"), ("pytorch, native",))
    [reason] = case.reasons
    assert reason == (
        "pytorch, native, batch size 32, seed 0: suspect, accuracy 10.00 %, the matched job has"
        " 98.00 %"
    )
    [case] = check_doubts([result(0.98), native(result(0.1), optimizer="RMSprop lr=0.01")])
    assert case.passed
