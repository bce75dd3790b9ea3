"""Turns numbers into verdicts: ratios, intervals, agreement, when to stop, the accuracy gate.

It reads and writes no files, and starts no processes.
"""
