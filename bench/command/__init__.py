"""The commands, one file each: they read the user's options and print what was found.

Tables and reports are printed by `bench.report`.
"""
