"""Whether to retrain, and how: from what is `observed` by `staleness` to `evidence`, a `decision` and a `plan`.

`backtest` says what policies would have been worth on recorded history, `attribution` what a retraining was worth.
"""
