"""Turns records into a frame, and the frame into a page, plots, terminal tables and exports.

No other package uses pandas or Altair.
"""
