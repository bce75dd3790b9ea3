"""What runs inside a framework's environment; it needs NumPy, msgspec and the standard library."""
