"""Prints results, proofs and verdicts on a terminal."""
