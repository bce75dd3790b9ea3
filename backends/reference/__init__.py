"""NumPy in float64: the reference that every other backend is held to."""
