"""Runs a suite through Slurm: what is submitted, how Slurm is asked, and how every task ended."""
