"""The forms that a report is written in: blocks to HTML and Markdown, words, CSV."""
