"""What `defs.yaml` may say: typed, described, validated; nothing here builds anything.

`table` holds the attributes of `ml_assets.components.Table`, `pipeline` those of `Pipeline` that are built, with
`model`, `evaluation`, `monitoring`, `retraining` and `rollout` for its larger sections.
"""
