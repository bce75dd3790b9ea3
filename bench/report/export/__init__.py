"""Writes a run or a check in the formats of other programs."""
