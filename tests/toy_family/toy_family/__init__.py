"""The smallest possible family of backends; its framework is NumPy."""
