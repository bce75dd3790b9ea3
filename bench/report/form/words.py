"""Writes numbers with their units as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isnan, log10

ABSENT = "-"
MOST_LINES = 20  # lines of a list on a page
_GIGA = 1e9
_THOUSAND = 1000
_ROUNDS_TO_THOUSAND = 999.5
_TEN = 10
_NEAR = 1.1
_BEYOND = 1e6
_PREFIXES = ("", "k", "M", "G", "T", "P")


def _digits(value: float) -> str:
    """A number below 1,000 to three digits, with its zeros: "1.20", "34.0", "585"."""
    return f"{value:#.3g}".rstrip(".")


def percent(share: float | None) -> str:
    """A share in percent: 0.98074 -> "98.07 %"."""
    return ABSENT if share is None or isnan(share) else f"{100 * share:.2f} %"


def share(value: float | None) -> str:
    """A share known to two digits: 0.0312 -> "3.1 %", 1.34 -> "134 %"."""
    if value is None or isnan(value):
        return ABSENT
    return f"{100 * value:.0f} %" if value >= 1 / _TEN else f"{100 * value:.2g} %"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, signed: -0.0042 -> "-0.42"."""
    if difference is None or isnan(difference):
        return ABSENT
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # never "-0.00"


def seconds(value: float | None) -> str:
    """Seconds to three digits, in ms below 1 s, in µs below 1 ms: "1.20 s", "34.0 ms"."""
    if value is None or isnan(value):
        return ABSENT
    if value >= _ROUNDS_TO_THOUSAND:
        return f"{value:,.0f} s"
    if value >= _ROUNDS_TO_THOUSAND / 1e3:
        return f"{_digits(value)} s"
    if value >= _ROUNDS_TO_THOUSAND / 1e6:
        return f"{_digits(1e3 * value)} ms"
    return f"{_digits(1e6 * value)} µs"


def span(low: float | None, high: float | None) -> str:
    """A range of seconds: "1.20 s to 3.00 s"."""
    if low is None or isnan(low):
        return ABSENT
    return f"{seconds(low)} to {seconds(high)}"


def gigabytes(value: float | None) -> str:
    """Bytes as MB or GB (decimal)."""
    if value is None or isnan(value):
        return ABSENT
    return f"{value / _GIGA:.2f} GB" if value >= _GIGA else f"{value / 1e6:.0f} MB"


def per_second(value: float | None) -> str:
    """A rate to three digits: "83,400"."""
    if value is None or isnan(value) or value <= 0:
        return ABSENT
    digits = 2 - floor(log10(value))
    return f"{round(value, digits):,.0f}"


def three_digits(value: float | None) -> str:
    """Any amount to three digits: "1,230", "4.57", "0.0213"."""
    if value is None or isnan(value):
        return ABSENT
    return (
        f"{round(value, 2 - floor(log10(value))):,.0f}"
        if value >= _ROUNDS_TO_THOUSAND
        else f"{value:.3g}"
    )


def joules(value: float | None) -> str:
    """Joules to three digits, in kJ from 1000 J on."""
    if value is None or isnan(value):
        return ABSENT
    return (
        f"{three_digits(value / _THOUSAND)} kJ"
        if value >= _ROUNDS_TO_THOUSAND
        else f"{three_digits(value)} J"
    )


def watts(value: float | None) -> str:
    """Watts to three digits."""
    return ABSENT if value is None or isnan(value) else f"{three_digits(value)} W"


def ratio(value: float | None, *, provisional: bool = False) -> str:
    """A ratio: "1.93x"; with fewer digits if provisional: "~1.9x", below 1.1 "~0.98x"."""
    if value is None or isnan(value):
        return ABSENT
    if not provisional:
        return f"{value:.2f}x"
    return (
        f"~{value:.2f}x"
        if value < _NEAR
        else f"~{value:.1f}x"
        if value < _TEN
        else f"~{value:.0f}x"
    )


def tolerances(value: float | None) -> str:
    """A deviation in units of its tolerance: "0.12", "35", or "failed" from a million on."""
    if value is None:
        return ABSENT
    if value >= _BEYOND:
        return "failed"
    return f"{value:.2f}" if value < _TEN else f"{value:.0f}"


def rate(value: float | None, unit: str) -> str:
    """A rate to three digits, with a prefix: (48.3e9, "FLOP/s") -> "48.3 GFLOP/s"."""
    if value is None or isnan(value) or value <= 0:
        return ABSENT
    power = min(max(floor(log10(float(f"{value:.3g}")) / 3), 0), len(_PREFIXES) - 1)
    return f"{value / _THOUSAND**power:.3g} {_PREFIXES[power]}{unit}"


def first_of(lines: Sequence[str], most: int = MOST_LINES) -> list[str]:
    """The first lines, at most `most`, and a last line with the number of the others."""
    more = len(lines) - most
    return [*lines] if more <= 0 else [*lines[:most], f"and {more:,} more"]


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def threads(number: int) -> str:
    """A number of threads: "1 thread", "2 threads"."""
    return "1 thread" if number == 1 else f"{number} threads"
