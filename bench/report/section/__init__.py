"""The sections of a report's page, a file for each heading."""
