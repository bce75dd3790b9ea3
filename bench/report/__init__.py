"""Records to one tidy frame, and from it tables, plots and pages; the only place for pandas and matplotlib."""
