"""Charts: each is defined once, for the page, for files and for notebooks."""
