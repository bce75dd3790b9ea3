"""Makes data frames of records: a row per epoch, per job, and per backend of a group."""
