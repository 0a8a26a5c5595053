"""Keeps machine-learning models on tabular data in production by itself."""
