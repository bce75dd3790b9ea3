"""NumPy in float64: the reference against which every other backend is checked."""
