"""Records to a frame, and from it page, plots, terminal and exports. The only pandas and matplotlib."""
