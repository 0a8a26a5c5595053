"""History features in pandas, in the two ways there are: `groupby.rolling`, and prefix sums with `merge_asof`.

Only whole contenders are here; what they write goes through `pandas_by_hand`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contenders.pandas_by_hand import write
from benchmarks.files import HISTORY, VALIDATED
from benchmarks.history_features import READS, SPEED, SPEED_MINUTES, STARTS, STARTS_MINUTES


def rolling(trips: pd.DataFrame) -> pd.DataFrame:
    """The two features by `groupby.rolling`; ends of trips and asking starts are rows of one frame."""
    ends = pd.DataFrame({"at": trips["dropoff_at"], "zone": trips["pickup_zone"], "speed_mph": trips["speed_mph"]})
    asks = pd.DataFrame({"at": trips["pickup_at"], "zone": trips["pickup_zone"], "asks": np.arange(len(trips))})
    both = pd.concat([ends, asks], ignore_index=True).sort_values(["zone", "at"], ignore_index=True)
    windows = both.groupby("zone").rolling(f"{SPEED_MINUTES}min", on="at", closed="left")
    means = windows["speed_mph"].mean().to_numpy()
    asking = both["asks"].notna().to_numpy()
    speed = np.empty(len(trips))
    speed[both["asks"].to_numpy()[asking].astype(np.int64)] = means[asking]

    starts = trips[["pickup_at", "pickup_zone"]].sort_values(["pickup_zone", "pickup_at"]).assign(one=1.0)
    windows = starts.groupby("pickup_zone").rolling(f"{STARTS_MINUTES}min", on="pickup_at", closed="left")
    counts = pd.Series(windows["one"].count().to_numpy(), index=starts.index).fillna(0)
    return pd.DataFrame({"row_number": trips["row_number"], SPEED: speed, STARTS: counts.reindex(trips.index)})


def prefix_sums(trips: pd.DataFrame) -> pd.DataFrame:
    """The two features by sums up to an instant, looked up with `merge_asof` at both ends of a window."""
    asks = trips[["pickup_at", "pickup_zone"]].sort_values("pickup_at", kind="stable")

    ends = trips[["dropoff_at", "pickup_zone", "speed_mph"]].sort_values("dropoff_at", kind="stable")
    of_zone = ends.groupby("pickup_zone")["speed_mph"]
    ends = ends.assign(total=of_zone.cumsum(), trips=of_zone.cumcount() + 1).drop(columns="speed_mph")
    until, since = looked_up(asks, ends, "dropoff_at", SPEED_MINUTES)
    number = until["trips"] - since["trips"]
    speed = (until["total"] - since["total"]) / number.where(number > 0)

    starts = asks.assign(trips=asks.groupby("pickup_zone").cumcount() + 1)
    until, since = looked_up(asks, starts, "pickup_at", STARTS_MINUTES)
    figures = pd.DataFrame({SPEED: speed.to_numpy(), STARTS: (until["trips"] - since["trips"]).to_numpy()}, asks.index)
    return pd.concat([trips["row_number"], figures.reindex(trips.index)], axis=1)


def looked_up(
    asks: pd.DataFrame, facts: pd.DataFrame, known_at: str, minutes: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The last sums known before each asking instant, and those known before the window's begin; 0 for none."""
    facts = facts.rename(columns={known_at: "known_at"})
    begin = asks["pickup_at"] - np.timedelta64(minutes, "m").astype("timedelta64[us]")
    until, since = (
        pd.merge_asof(
            pd.DataFrame({"at": at, "pickup_zone": asks["pickup_zone"]}),
            facts,
            left_on="at",
            right_on="known_at",
            by="pickup_zone",
            allow_exact_matches=False,
        )[facts.columns.drop(["known_at", "pickup_zone"])].fillna(0)
        for at in (asks["pickup_at"], begin)
    )
    return until, since


def history_by_rolling(month: Path, out: Path) -> None:
    """The two history features of validated rows."""
    write(rolling(pd.read_parquet(month / VALIDATED, columns=READS)), out / HISTORY)


def history_by_merge_asof(month: Path, out: Path) -> None:
    """The two history features of validated rows."""
    write(prefix_sums(pd.read_parquet(month / VALIDATED, columns=READS)), out / HISTORY)


STEPS = {"history by rolling": history_by_rolling, "history by merge_asof": history_by_merge_asof}
