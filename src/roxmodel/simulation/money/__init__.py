"""Money: what outcomes are worth, and what flows over time come to."""
