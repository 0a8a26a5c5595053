"""Names that the servers under measurement share, and what each is asked.

Without imports of anything heavy, since contenders in other environments read it.
"""

FEATURES = tuple(f"x{i:02}" for i in range(25))
MODEL = "trip_duration"
"""Name of the model, and of the pipeline whose champion it is."""

TEXT = "model.bst"
"""The trees in LightGBM's text format, under the name that MLServer and KServe look for."""
ROWS = "rows.json"
"""Rows to ask for, each a list of numbers in the order of `FEATURES`."""
EXPECTED = "expected.json"
"""What LightGBM itself predicts for each of them."""

MODEL_DIR = "SERVING_BENCH_MODEL"
"""Environment variable: the folder of `TEXT`, for contenders that are modules of `contenders`."""
