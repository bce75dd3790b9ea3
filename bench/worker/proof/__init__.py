"""The checks that hold a backend to the float64 reference."""
