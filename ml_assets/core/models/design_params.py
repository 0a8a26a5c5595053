"""How features become the columns of a design matrix: the parameters that kinds linear and sklearn share.

The matrix itself is in `design_matrix`; parameters of one kind alone are in `linear_params` and `sklearn_params`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ml_assets.core.errors import ConfigError

_BOUNDS: dict[str, tuple[int, int]] = {
    "one_hot_categories": (1, 10_000),
    "encode_above": (1, 100_000),
    "max_categories": (1, 100_000),
}


@dataclass(frozen=True)
class DesignParams:
    """Parameters of a design matrix.

    Args:
        one_hot_categories: most frequent categories of a feature that have a column of their own.
        encode_above: categories of a feature above which the mean label by category is a column, too.
        max_categories: most frequent categories of a feature that are told apart; others count as missing.
    """

    one_hot_categories: int = 32
    encode_above: int = 32
    max_categories: int = 1000

    def __post_init__(self) -> None:
        if wrong := self.wrong(asdict(self)):
            raise ConfigError(
                "parameters of the design matrix",
                found=wrong,
                expected="values in bounds",
                cure="correct model.params",
            )

    @classmethod
    def names(cls) -> set[str]:
        """The parameters there are."""
        return {f.name for f in fields(cls)}

    @classmethod
    def wrong(cls, params: Mapping[str, Any]) -> list[str]:
        """What is wrong with these values of `names`."""
        return [
            f"{name}: {value!r}, not a whole number in {low} to {high}"
            for name, value in params.items()
            for low, high in [_BOUNDS[name]]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
        ]

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Self:
        """Those of `params` that are `names`.

        Raises:
            ConfigError: a value is out of bounds; lists all.
        """
        return cls(**{name: params[name] for name in params if name in cls.names()})

    def to_json(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)
