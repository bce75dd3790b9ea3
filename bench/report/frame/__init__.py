"""Makes data frames from records: a row per epoch, per job, and per backend of a group."""
