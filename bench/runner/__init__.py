"""The parent process: it plans a run, finds the environments and starts one worker at a time.

No other package starts processes.
"""
