"""A run or a check in other programs' formats."""
