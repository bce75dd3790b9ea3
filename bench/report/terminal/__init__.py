"""Prints results, verifications and verdicts on a terminal."""
