"""A clock for pytest-benchmark that shows what other processes measured, so that their figures stand in its tables."""

from __future__ import annotations


class ToldClock:
    """It stands still but when it is told."""

    def __init__(self):
        self._now = 0.0

    def now(self):
        """Seconds told so far: `@pytest.mark.benchmark(timer=CLOCK.now)`."""
        return self._now

    def tell(self, benchmark, seconds):
        """Give a benchmark rounds that took so long, each measured elsewhere."""
        waiting = iter(seconds)

        def one_round():
            self._now += next(waiting)

        benchmark.pedantic(one_round, rounds=len(seconds))


CLOCK = ToldClock()
