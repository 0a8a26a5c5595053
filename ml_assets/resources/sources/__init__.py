"""Where raw rows come from, behind one small interface: `Source` in `interface`.

- what a `source:` in a defs.yaml may say: `config`, `injections` (drift to add to simulated trips)
- files of any number, local or remote, Parquet or CSV: `files`, `file_table`; where they are: `locating`,
  `remote_files`; how their names contain time: `templates`; how they are read: `parquet_files` (damage that
  hides: `parquet_statistics`), `csv_files`
- a database: `sql`; its URL and secrets `sql_url`, its rows as typed columns `sql_rows`
- trips made up: `simulated`
- what all share: `conforming` (columns and types against what is expected, without loss; types: `column_types`,
  values: `converting`, columns that don't convert: `as_found`), `windowing` (rows of one window), `writing` (one
  Parquet file, the same bytes for the same rows), `describing` (what its footer says of the source), `masking`
  (no password in a message)

What rows must be like is the table's contract (`ml_assets.core.contract`); where raw partitions are stored is
`ml_assets.resources.storage`.
"""
