"""What can be said before any fit: what a study can carry, and what more data would bring."""
