"""Writes slides as Markdown, LaTeX (Beamer) or HTML."""
