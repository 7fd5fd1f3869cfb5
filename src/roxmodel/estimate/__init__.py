"""Model plus moments to a fit: one door, several methods."""
