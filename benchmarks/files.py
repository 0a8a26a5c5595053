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

COMPRESSION = "zstd"
COMPRESSION_LEVEL = 1
ROW_GROUP_ROWS = 65_536
