"""Records as one table, and what is computed from it before anything is shown."""
