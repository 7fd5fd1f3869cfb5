"""What was estimated: an immutable fit and what can be read from it."""
