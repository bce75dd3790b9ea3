"""The commands for clusters: `submit`, `status`, `cancel`, and `task`, which runs on the nodes."""
