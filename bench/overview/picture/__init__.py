"""Draws the pictures of slides with Matplotlib."""
