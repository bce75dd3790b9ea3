"""The benchmark: runs workloads in backends, measures, records and reports."""
