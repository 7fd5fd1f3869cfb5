"""Ordinal items: thresholds, correlations and their uncertainty, least squares on them."""
