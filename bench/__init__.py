"""The race: runs workloads through backends, measures, records and shows what happened."""
