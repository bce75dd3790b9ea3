"""Tests, as a package: tests, workers and `python -m tests.perf.tax` all know its modules by the same names."""
