"""Numbers to verdicts: ratios, intervals, when to stop, the gate. No files, no processes."""
