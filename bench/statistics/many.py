"""Holm's correction for many tests in one table (S. Holm, Scand. J. Stat. 6, 1979).

If nothing differs, a table of any length holds a false result with at most the probability `level`.
The tests may depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(chances: Sequence[float]) -> list[float]:
    """The corrected p-values (0..1), in the same order.

    A test is significant if its corrected p-value is at most the level.

    Args:
        chances: the p-value (0..1) of every test that a reader may pick.
    """
    order = sorted(range(len(chances)), key=lambda index: chances[index])
    corrected, largest = [0.0] * len(chances), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(chances[index] * (len(order) - rank), 1.0))
        corrected[index] = largest
    return corrected


def holm_level(others: Sequence[float], level: float) -> float:
    """The level for a single test: it is significant if its p-value is at most this.

    The level does not depend on the p-value of the test itself. Other tests that are significant
    in any case do not make it stricter.

    Args:
        others: the p-values of all other tests.
        level: the level of all tests together.
    """
    tests = len(others) + 1
    for rank, chance in enumerate(sorted(others)):
        if chance * (tests - rank) > level:
            return level / (tests - rank)
    return level
