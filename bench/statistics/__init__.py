"""Computes verdicts from numbers: ratios, intervals, agreement, the accuracy gate, stopping.

This package reads and writes no files, and starts no processes.
"""
