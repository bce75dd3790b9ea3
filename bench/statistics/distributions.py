"""The normal distribution and Student's t.

SciPy is imported in the functions, as its import takes 0.1 s.
"""

from __future__ import annotations


def normal_below(x: float) -> float:
    """The probability that a standard normal value is below `x`."""
    from scipy.special import ndtr

    return float(ndtr(x))


def normal_quantile(probability: float) -> float:
    """The quantile of the standard normal law: a value is below it with this probability."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def student_below(t: float, degrees: int) -> float:
    """The probability that a value of Student's t distribution is below `t`."""
    from scipy.special import stdtr

    return float(stdtr(degrees, t))


def student_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution: a value is below it with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
