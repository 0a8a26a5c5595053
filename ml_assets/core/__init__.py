"""Everything that computes or decides, as pure functions and frozen dataclasses.

No Dagster, no tracker, no network, no clock, no environment, no global random state in here: time, seed and
paths are parameters. What schedules is in the package above; what talks to an outside world is in
`ml_assets.resources`.
"""
