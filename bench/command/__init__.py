"""The commands, one file each: they read the user's options, do the work, and print the result.

Tables and reports are printed by `bench.report`.
"""
