"""Holds the tests.

It is a package, so that tests, workers and `python -m tests.perf.tax` import its modules under the
same names.
"""
