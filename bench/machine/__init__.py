"""Describes the machine and its other load during a job.

The parent process reads both, as it is idle during a job.
"""
