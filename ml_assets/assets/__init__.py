"""The software-defined assets, one module per group; thin: read, call `ml_assets.core`, return value and metadata.

`table` and `pipeline` put the groups together for one `defs.yaml`.
"""
