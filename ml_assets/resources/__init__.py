"""One module per outside world: sources of data, storage, models, reports, the ledger, Dagster's own records.

What computes or decides is in `ml_assets.core`; a resource has a few verbs and hides one client.
"""
