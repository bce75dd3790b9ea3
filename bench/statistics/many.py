"""Holm's correction for many tests in one table (S. Holm, Scand. J. Stat. 6, 1979).

With it, a table in which nothing differs holds a false result with at most the chance that its
level allows, however many rows it has. It needs no independence.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(chances: Sequence[float]) -> list[float]:
    """The corrected chances (0..1), in the same order.

    A test holds if its corrected chance is at most the level.

    Args:
        chances: the p-value (0..1) of every test that a reader may pick.
    """
    order = sorted(range(len(chances)), key=lambda number: chances[number])
    corrected, largest = [0.0] * len(chances), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(chances[number] * (len(order) - rank), 1.0))
        corrected[number] = largest
    return corrected


def holm_level(others: Sequence[float], level: float) -> float:
    """The level at which one more test is judged beside others; its own chance does not change it.

    Tests that hold whatever this one shows are no longer counted among the many.

    Args:
        others: the p-values of all other tests.
        level: of all tests together.
    """
    tests = len(others) + 1
    for rank, chance in enumerate(sorted(others)):
        if chance * (tests - rank) > level:
            return level / (tests - rank)
    return level
