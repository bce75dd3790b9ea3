"""Writes what a report holds: blocks as HTML and Markdown, numbers as words, frames as CSV."""
