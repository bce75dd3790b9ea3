"""Writes a report: one HTML file, Markdown, and its charts."""
