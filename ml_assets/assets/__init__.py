"""The software-defined assets, one module per group; thin: read, call `ml_assets.core`, return value and metadata.

`ml_assets.components` puts the groups together for one `defs.yaml`.
"""
