"""The normal and Student's t distribution; SciPy is imported late, as that takes 0.1 s."""

from __future__ import annotations


def normal_below(x: float) -> float:
    """The probability that a standard normal value is below `x`."""
    from scipy.special import ndtr

    return float(ndtr(x))


def student_below(t: float, degrees: int) -> float:
    """The probability that a value of Student's t with so many degrees of freedom is below `t`."""
    from scipy.special import stdtr

    return float(stdtr(degrees, t))


def student_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t with so many degrees of freedom is below with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
