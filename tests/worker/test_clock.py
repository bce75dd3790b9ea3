"""The clock of a phase: what it measures."""

from __future__ import annotations

from bench.worker.clock import Clock, measure


def test_a_phase_starts_after_one_sync_and_ends_after_another():
    events, wall, cpu = [], iter([10.0, 12.5]), iter([1.0, 4.0])
    clock = Clock(
        wall=lambda: events.append("wall") or next(wall),
        cpu=lambda: events.append("cpu") or next(cpu),
    )
    phase, result = measure(
        "train", lambda: events.append("work") or 7, lambda: events.append("sync"), clock
    )
    assert events == ["sync", "cpu", "wall", "work", "sync", "wall", "cpu"]
    assert (phase.name, phase.wall_seconds, phase.cpu_seconds, result) == ("train", 2.5, 3.0, 7)
