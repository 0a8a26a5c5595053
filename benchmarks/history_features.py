"""The two history features of the benchmarks; every contender computes them with the same meaning.

For a trip that starts at `t`, of the trips out of the same pick-up zone: the mean speed of those that ended in the
hour before, and the number of those that started in the half hour before; windows are `[t - length, t)`. Of no
trip the mean is missing and the number 0. No stored partition is older than the month.
"""

SPEED, SPEED_MINUTES = "zone_speed_60m", 60
STARTS, STARTS_MINUTES = "zone_starts_30m", 30
READS = ["row_number", "pickup_at", "dropoff_at", "pickup_zone", "speed_mph"]
"""Columns of the validated table that they are computed from."""
