"""A family of backends as small as one can be; its framework is NumPy."""
