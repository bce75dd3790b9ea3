"""The language of the workloads, and the workloads themselves."""
