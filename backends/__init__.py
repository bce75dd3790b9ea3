"""The adapters: one class per framework that trains a workload, behind one interface."""
