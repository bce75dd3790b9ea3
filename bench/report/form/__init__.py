"""Writes blocks as HTML and Markdown, numbers as text, and frames as CSV."""
