"""Verification: the checks that compare a backend with the float64 reference."""
