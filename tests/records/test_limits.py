"""Whose limits are whose."""

from __future__ import annotations

from bench.records.limits import limits_of
from tests.support.jobs import make_job
from tests.support.records import made_limits


def test_limits_speak_of_their_own_engine_device_threads_and_machine_alone():
    older, newer = made_limits(), made_limits(key="l", started="2026-01-02T00:00:00Z")
    assert limits_of(make_job(), "m", [older, newer]) == newer
    assert limits_of(make_job(), "other", [older]) is None
    assert limits_of(make_job(threads=2), "m", [older]) is None
    assert limits_of(make_job(backend="pytorch"), "m", [older]) is None
    assert limits_of(make_job(precision="tf32"), "m", [older]) is None
    assert limits_of(make_job(backend="gone"), "m", [older]) is None
