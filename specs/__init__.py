"""What to train: the language of the workloads, and the workloads themselves."""
