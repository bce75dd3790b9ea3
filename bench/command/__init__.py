"""One file per command: what the user asks, and what is printed. The only package that prints."""
