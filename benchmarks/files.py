"""Names of the files that contenders read and write, and how the written ones are compressed.

Without imports of anything heavy, since contenders in other environments read it.
"""

MONTH, START, END = "2020-04", "2020-04-01", "2020-05-01"
"""A month with everything that goes wrong: 5 % broken rows, trips recorded twice, 8 % without passengers."""

SOURCE = "yellow_tripdata_2020-04.parquet"
"""As the TLC would publish it."""

RULES = "rules.json"
"""The contract's rules as plain data; see `benchmarks.rules`."""

RAW = "raw.parquet"
VALIDATED = "validated.parquet"
QUARANTINE = "quarantine.parquet"
HISTORY = "history.parquet"
FEATURES = "features.parquet"

MONTHS_LEARNT = [f"2018-{month:02}" for month in range(1, 13)] + ["2019-01"]
MONTHS_LATER = ["2019-02", "2019-03"]
"""Of training and tuning; see `benchmarks.learning_data`."""

PARTITIONS = "features"
ARRAYS = "arrays.npz"
FACTS = "arrays.json"
ERRORS = "errors.npy"
"""Absolute errors of a contender on the later rows."""
RESULT = "result.json"
GROWN = "grown.json"
"""Trees that ml_assets has grown in this repetition: as many as LightGBM alone is to grow."""
SECONDS = "seconds.json"
"""What the study of ml_assets took in this repetition: what others may take."""

COMPRESSION = "zstd"
COMPRESSION_LEVEL = 1
ROW_GROUP_ROWS = 65_536
