"""What leaves the library: the scoring engine and the command line."""
