"""Drives a framework in a Python that is too old to run a worker.

The worker runs in the bench's own Python. Its adapter (`far`) starts the old Python as a child. The
child runs a small program (`near`) beside the framework; its methods are called through two pipes.

Files whose names begin with `near` run in the old Python, from 3.6 on. They import the standard
library, NumPy, the framework, and each other, by their full names: `backends.cntk.near_layers`.
"""
