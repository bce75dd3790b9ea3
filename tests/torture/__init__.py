"""Campaigns against the bench: `nox -s torture`. Each module with an `attempt` is a campaign."""
