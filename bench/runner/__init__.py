"""The parent process: plans a run, finds its environments, and starts one worker at a time.

No other package starts processes.
"""
