"""What runs inside a framework's environment: NumPy, the JSON decoder, the standard library."""
