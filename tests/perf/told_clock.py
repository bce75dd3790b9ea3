"""A clock for pytest-benchmark that shows times measured by other processes.

So their figures are in its tables.
"""

from __future__ import annotations


class ToldClock:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self._now = 0.0

    def now(self):
        """Seconds told so far: `@pytest.mark.benchmark(timer=CLOCK.now)`."""
        return self._now

    def tell(self, benchmark, seconds):
        """Give a benchmark rounds of these seconds, which were measured elsewhere."""
        waiting = iter(seconds)

        def one_round():
            self._now += next(waiting)

        benchmark.pedantic(one_round, rounds=len(seconds))


CLOCK = ToldClock()
