"""A clock with which pytest-benchmark's tables show times that other processes measured."""

from __future__ import annotations


class ReplayClock:
    """A clock that moves only in `replay`."""

    def __init__(self):
        self._now = 0.0

    def now(self):
        """The sum of all replayed seconds: `@pytest.mark.benchmark(timer=CLOCK.now)`."""
        return self._now

    def replay(self, benchmark, seconds):
        """Give a benchmark one round for each of these times."""
        times = iter(seconds)

        def one_round():
            self._now += next(times)

        benchmark.pedantic(one_round, rounds=len(seconds))


CLOCK = ReplayClock()
