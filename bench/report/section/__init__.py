"""Makes the sections of a report's page, one file per section."""
