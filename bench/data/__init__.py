"""Data sets: found, fetched, checked, and put where a worker reads them."""
