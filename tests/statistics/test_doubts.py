"""Which results `bench check` says may not be believed, and which it only remarks on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.statistics.doubts import check_doubts
from bench.worker.lines import JobVerification
from tests.support.agreement import verified
from tests.support.gate import result


def unverified(record, reason):
    """The record of a job that could not be verified."""
    found = JobVerification(method="exact", steps=0, partial_batch=0, not_verified=reason)
    return replace(record, verification=found)


def test_what_failed_or_is_in_native_mode_has_no_case_and_one_backend_alone_has_one():
    native = result(0.98, mode="native")
    assert check_doubts([native, result(0.5, seed=1, status="failed")]) == []
    [case] = check_doubts([result(0.98), result(0.98, seed=1), replace(native, key="n")])
    assert (case.backends, case.passed) == (("pytorch",), True)
    [case] = check_doubts(
        [result(0.98), result(0.98, backend="jax"), result(0.5, backend="x", status="failed")]
    )
    assert (case.backends, case.passed) == (("pytorch", "jax"), True)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (verified(result(0.98), loss=3.0), "wrong, the loss in its first steps differs from"),
        (result(0.1), "suspect, accuracy 10.00 % is that of chance"),
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
