"""What a report shows on a terminal."""
