"""A contract as bytes, so that one process reads `schema.py` with pandera and others do without: it takes 80 MB.

For processes of one installation at one time, not for files: polars' form of expressions changes with its version.
Expressions that run Python functions have no such form here, since it would be pickle.
"""

import io
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import polars as pl

from ml_assets.core.columns import ContractColumn
from ml_assets.core.contract import Contract
from ml_assets.core.rules import Rule

_PYTHON = (b"PLPYFN", b"AnonymousFunction")
"""What polars' form of an expression holds where it holds Python's code."""


def packed(contract: Contract) -> bytes | None:
    """The contract as bytes; None where one of its expressions runs a Python function."""
    expressions = [c.derived for c in contract.columns] + [rule.keeps for rule in contract.rules]
    serialized = [None if e is None else e.meta.serialize() for e in expressions]
    if any(mark in one for one in serialized if one is not None for mark in _PYTHON):
        return None
    schema = io.BytesIO()
    pl.DataFrame(schema=contract.schema).write_ipc(schema)
    texts = [None if one is None else b64encode(one).decode() for one in serialized]
    told = {
        "name": contract.name,
        "description": contract.description,
        "unique": contract.unique,
        "schema": b64encode(schema.getvalue()).decode(),
        "columns": [_told(c, "dtype", "derived") for c in contract.columns],
        "rules": [_told(rule, "keeps") for rule in contract.rules],
        "expressions": texts,
    }
    return json.dumps(told, default=str).encode()


def unpacked(content: bytes) -> Contract:
    """The contract that `packed` made these bytes of."""
    told = json.loads(content)
    schema = pl.read_ipc(io.BytesIO(b64decode(told["schema"]))).schema
    expressions = iter([None if one is None else _expression(one) for one in told["expressions"]])
    columns = tuple(
        ContractColumn(
            **{**c, "dtype": schema[c["name"]], "constraints": tuple(c["constraints"])}, derived=next(expressions)
        )
        for c in told["columns"]
    )
    rules = tuple(
        Rule(r["name"], r["kind"], tuple(r["columns"]), r["description"], next(expressions)) for r in told["rules"]
    )
    return Contract(told["name"], told["description"], columns, rules, tuple(map(tuple, told["unique"])))


def _told(one: ContractColumn | Rule, *without: str) -> dict[str, Any]:
    return {name: value for name, value in vars(one).items() if name not in without}


def _expression(text: str) -> pl.Expr:
    read: Callable[[io.BytesIO], pl.Expr] = pl.Expr.deserialize
    return read(io.BytesIO(b64decode(text)))
