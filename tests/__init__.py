"""The tests. A package, so that tests, workers and `python -m` import its modules by one name."""
