"""The commands, one file each: they read the user's options and print what was found.

No other package prints.
"""
