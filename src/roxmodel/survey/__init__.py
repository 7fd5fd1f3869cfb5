"""Frames in, linked by unit: what employees, customers and the books say."""
