"""The parent: plan, environments, one child process at a time. The only package that starts processes."""
