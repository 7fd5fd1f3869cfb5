"""Budget: which actions a sum of money should buy."""
