"""The records on disk: their formats and their keys, and how they are written and read."""
