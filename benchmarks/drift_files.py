"""Names of the files that drift is judged from, and their columns. Without imports, as `files`."""

NUMBERS = tuple(f"number_{i}" for i in range(12))
CATEGORIES = ("zone", "vendor", "payment")
FEATURES = (*NUMBERS, *CATEGORIES)

REFERENCE = "reference.parquet"
CURRENT = "current.parquet"
PROFILE = "reference_profile.json"
ROWS = "rows.json"
"""Rows of the reference: what the chunks of others are a twelfth of."""
