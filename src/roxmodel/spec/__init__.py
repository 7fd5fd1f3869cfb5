"""What causes what, and which questions measure it."""
