"""What is kept on disk, its key and its format: written whole, read back."""
