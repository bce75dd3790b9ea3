"""The framework-overview section of a course: slides from the records of a run."""
