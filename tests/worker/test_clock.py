"""A worker's rest after its turn."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.worker import clock


@pytest.mark.parametrize(
    ("spins_until", "rested"),
    [(0.0, 0.02), (0.13, 0.15), (9.0, 0.4)],
    ids=["sleeps at once", "OpenBLAS", "always busy"],
)
def test_a_turn_ends_when_the_threads_sleep_or_after_a_while(monkeypatch, spins_until, rested):
    """The CPU clock of this fake process runs until `spins_until` seconds."""
    now = 0.0

    def sleep(seconds):
        nonlocal now
        now += seconds

    fake = SimpleNamespace(
        monotonic=lambda: now, sleep=sleep, process_time=lambda: min(now, spins_until)
    )
    monkeypatch.setattr(clock, "time", fake)
    clock.rest()
    assert now == pytest.approx(rested, abs=0.021)


def test_a_rest_is_short_if_the_cpu_time_of_another_process_is_unknown(monkeypatch):
    monkeypatch.setattr(clock, "cpu_seconds", lambda: None)
    before = clock.monotonic_seconds()
    clock.rest()
    assert clock.monotonic_seconds() > before
