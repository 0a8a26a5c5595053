"""The contract of the table `trips`: columns, units and rules of one yellow-taxi trip.

Change a threshold, a name or a unit here. Where the rows come from is in `defs.yaml`; what is computed from
valid rows is in the pipelines' `features.py`.
"""

from datetime import datetime

import pandera.polars as pa
import polars as pl

from ml_assets.core.contract import column

VENDORS = [1, 2, 4, 6, 7]
"""Technology providers: 1 Creative Mobile Technologies, 2 Curb (VeriFone), 6 Myle, 7 Helix; 4 is in the data
of 2018 to 2020 without being in the dictionary."""

RATE_CODES = [1, 2, 3, 4, 5, 6, 99]
"""1 standard, 2 JFK, 3 Newark, 4 Nassau or Westchester, 5 negotiated, 6 group ride, 99 not known."""

PAYMENT_TYPES = [0, 1, 2, 3, 4, 5, 6]
"""0 flex fare, 1 credit card, 2 cash, 3 no charge, 4 dispute, 5 unknown, 6 voided."""

LAST_KNOWN_ZONE = 263
"""Taxi zones are numbered from 1; 264 means unknown, 265 outside New York City."""

CREDIT_CARD = 1
HIGH_TIP = 0.20
"""Share of the charge before the tip; terminals suggest 20, 25 and 30 %."""

HALF_A_CENT_USD = 0.005
"""Amounts are whole cents: what was tipped as 20 % may be up to half a cent less."""

KNOWN_AT = "dropoff_at"
"""When what the meter and the driver add to a trip is known: features that read such a column are refused."""


class Trip(pa.DataFrameModel):
    """One yellow-taxi trip as its meter recorded it.

    Source: TLC data dictionary of yellow-taxi trip records, and the records themselves, 2018-01 to 2020-06.
    What providers leave out (from 2019-07 on up to 17 % of trips have no vendor, passengers, rate code or
    payment type) is null and valid: that it is missing is information.
    """

    vendor: int = column(
        source="VendorID",
        nullable=True,
        isin=VENDORS,
        description="provider of the record; see VENDORS",
    )
    pickup_at: datetime = column(source="tpep_pickup_datetime", unit="New York local time", description="meter engaged")
    dropoff_at: datetime = column(
        known_at=KNOWN_AT, source="tpep_dropoff_datetime", unit="New York local time", description="meter disengaged"
    )
    passengers: int = column(
        source="passenger_count",
        nullable=True,
        in_range=(0, 9),
        unit="persons",
        description="as the driver entered it; 0 is entered in 2 % of trips like all others and is kept",
    )
    trip_miles: float = column(
        source="trip_distance",
        gt=0,
        lt=100,
        unit="miles",
        description="elapsed distance by the taximeter; as a feature it stands for the planned route's length",
    )
    trip_minutes: float = column(
        known_at=KNOWN_AT,
        derived=(pl.col("dropoff_at") - pl.col("pickup_at")).dt.total_seconds() / 60,
        in_range=(1, 180),
        unit="minutes",
        description="from meter engaged to meter disengaged",
    )
    speed_mph: float = column(
        known_at=KNOWN_AT,
        derived=pl.when(pl.col("trip_minutes") > 0).then(pl.col("trip_miles") / pl.col("trip_minutes") * 60),
        nullable=True,
        unit="miles per hour",
        description="mean speed of the trip; null where its duration is not positive",
    )
    pickup_zone: int = column(
        source="PULocationID", in_range=(1, LAST_KNOWN_ZONE), description="TLC taxi zone of the pick-up"
    )
    dropoff_zone: int = column(
        source="DOLocationID", in_range=(1, LAST_KNOWN_ZONE), description="TLC taxi zone of the drop-off"
    )
    rate_code: int = column(
        known_at=KNOWN_AT, source="RatecodeID", nullable=True, isin=RATE_CODES, description="tariff; see RATE_CODES"
    )
    payment_type: int = column(known_at=KNOWN_AT, nullable=True, isin=PAYMENT_TYPES, description="see PAYMENT_TYPES")
    store_and_forward: bool = column(
        known_at=KNOWN_AT,
        source="store_and_fwd_flag",
        nullable=True,
        description="whether the record waited in the vehicle for a connection",
    )
    fare_usd: float = column(
        known_at=KNOWN_AT, source="fare_amount", in_range=(0, 1000), unit="USD", description="by time and distance"
    )
    extra_usd: float = column(
        known_at=KNOWN_AT, source="extra", ge=0, unit="USD", description="rush-hour and night surcharges"
    )
    mta_tax_usd: float = column(known_at=KNOWN_AT, source="mta_tax", ge=0, unit="USD", description="MTA tax")
    tip_usd: float = column(
        known_at=KNOWN_AT, source="tip_amount", ge=0, unit="USD", description="tip by card; cash tips are not recorded"
    )
    tolls_usd: float = column(
        known_at=KNOWN_AT, source="tolls_amount", ge=0, unit="USD", description="all tolls of the trip"
    )
    improvement_surcharge_usd: float = column(
        known_at=KNOWN_AT, source="improvement_surcharge", ge=0, unit="USD", description="improvement surcharge"
    )
    congestion_surcharge_usd: float = column(
        known_at=KNOWN_AT,
        source="congestion_surcharge",
        nullable=True,
        required=False,
        ge=0,
        unit="USD",
        description="congestion surcharge of New York State; null before it was levied in 2019-02",
    )
    total_usd: float = column(
        known_at=KNOWN_AT,
        source="total_amount",
        ge=0,
        unit="USD",
        description="charged to passengers, without cash tips",
    )
    tip_share: float = column(
        known_at=KNOWN_AT,
        derived=pl.when((pl.col("payment_type") == CREDIT_CARD) & (pl.col("total_usd") > pl.col("tip_usd"))).then(
            pl.col("tip_usd") / (pl.col("total_usd") - pl.col("tip_usd"))
        ),
        nullable=True,
        unit="share of the charge before the tip",
        description="tip of a trip paid by card; null for all others, whose tips are not recorded",
    )
    high_tip: bool = column(
        known_at=KNOWN_AT,
        derived=pl.when((pl.col("payment_type") == CREDIT_CARD) & (pl.col("total_usd") > pl.col("tip_usd"))).then(
            pl.col("tip_usd") + HALF_A_CENT_USD >= HIGH_TIP * (pl.col("total_usd") - pl.col("tip_usd"))
        ),
        nullable=True,
        description="whether a trip paid by card was tipped at least HIGH_TIP of the charge; null for all others",
    )

    class Config:
        # Finds trips that two providers sent, and fares booked and then reversed. Vendor and amounts differ
        # between such records, so they are no part of the key; the distance keeps apart trips that only share
        # times and zones.
        unique = ["pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "trip_miles"]

    @pa.dataframe_check
    def dropoff_after_pickup(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """The meter was disengaged after it was engaged."""
        return data.lazyframe.select(pl.col("dropoff_at") > pl.col("pickup_at"))
