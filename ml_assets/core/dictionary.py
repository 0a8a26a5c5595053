"""A table's data dictionary: what its contract says, in the words of a reader.

Column by column as plain rows, and as one static HTML page that needs no network, no script and no font. Its look
is in `dictionary.html.j2`, and in `dictionary.css` on top of `report.css`. What a contract is belongs in `contract`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

import polars as pl

from ml_assets.core.contract import Contract, ContractColumn
from ml_assets.core.rules import Rule

_WORDS: tuple[tuple[type[pl.DataType], str], ...] = (
    (pl.Boolean, "true or false"),
    (pl.Datetime, "date and time"),
    (pl.Date, "date"),
    (pl.Time, "time of day"),
    (pl.Duration, "duration"),
    (pl.Categorical, "category"),
    (pl.Enum, "category"),
    (pl.String, "text"),
    (pl.Binary, "bytes"),
    (pl.List, "list"),
    (pl.Array, "list"),
    (pl.Struct, "record"),
)


@dataclass(frozen=True)
class DictionaryEntry:
    """One column, each fact as words for people; empty where there is nothing to say.

    Args:
        column: its name in the validated table.
        type: `integer (Int64)`.
        unit: of its values.
        constraints: ranges and memberships: `≥ 0 and ≤ 9`, `> 0; < 100`.
        missing: `never missing`, `may be missing`, or `may be missing; the source need not have the column`.
        source: the source's name of the column, or `computed: <expression>`.
        known_at: the time column at which a value is known, with `, after the event` where that is later.
        description: what it is.
        rules: names of all rules that read it, in the contract's order.
    """

    column: str
    type: str
    unit: str
    constraints: str
    missing: str
    source: str
    known_at: str
    description: str
    rules: tuple[str, ...]


def dictionary_rows(contract: Contract, event_time: str) -> list[DictionaryEntry]:
    """The contract's columns in their order.

    Raises:
        ConfigError: `event_time` is not a Datetime column of the contract that is never null.
    """
    rules = contract.rules_for(event_time)
    late = contract.known_after(event_time)
    return [
        DictionaryEntry(
            column=c.name,
            type=type_in_words(c.dtype),
            unit=c.unit or "",
            constraints="; ".join(c.constraints),
            missing=_missing(c),
            source=c.source if c.source is not None else f"computed: {_readable(c.derived)}",
            known_at=f"{c.known_at}, after the event" if c.name in late else event_time,
            description=c.description,
            rules=tuple(rule.name for rule in rules if c.name in rule.columns),
        )
        for c in contract.columns
    ]


def row_rules(contract: Contract, event_time: str) -> list[Rule]:
    """The rules that no single column's entry explains: keys, the partition's window, checks of the whole row.

    Raises:
        ConfigError: `event_time` is not a Datetime column of the contract that is never null.
    """
    return [rule for rule in contract.rules_for(event_time) if not _is_of_one_column(rule)]


def type_in_words(dtype: pl.DataType) -> str:
    """A dtype for people.

    >>> type_in_words(pl.Int64()), type_in_words(pl.Datetime("us"))
    ('integer (Int64)', 'date and time (Datetime in us, no time zone)')
    """
    if isinstance(dtype, pl.Datetime):
        return f"date and time (Datetime in {dtype.time_unit}, {dtype.time_zone or 'no time zone'})"
    if dtype.is_integer():
        return f"integer ({dtype})"
    if dtype.is_numeric():
        return f"number ({dtype})"
    words = next((words for kind, words in _WORDS if isinstance(dtype, kind)), "")
    return f"{words} ({dtype})" if words else str(dtype)


def render_dictionary(table_name: str, contract: Contract, event_time: str) -> str:
    """The page, as HTML text to be written as UTF-8; the same contract always gives the same bytes.

    Raises:
        ConfigError: `event_time` is not a Datetime column of the contract that is never null.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rules = contract.rules_for(event_time)
    whole_row = row_rules(contract, event_time)
    entries = dictionary_rows(contract, event_time)
    css = _beside("report.css") + _beside("dictionary.css")
    return environment.from_string(_beside("dictionary.html.j2")).render(
        css=markupsafe.Markup(css),  # noqa: S704 - our own files
        table=table_name,
        contract=contract,
        paragraphs=[" ".join(p.split()) for p in re.split(r"\n\s*\n", contract.description) if p.strip()],
        event_time=event_time,
        entries=entries,
        late=contract.known_after(event_time),
        computed=sum(c.derived is not None for c in contract.columns),
        rules={
            "Of the whole row": whole_row,
            "Of one column": [rule for rule in rules if rule not in whole_row],
        },
        column_anchor=_anchors("column", (e.column for e in entries)),
        rule_anchor=_anchors("rule", (rule.name for rule in rules)),
    )


def _beside(name: str) -> str:
    """Text of a file of this package."""
    return resources.files("ml_assets.core").joinpath(name).read_text(encoding="utf-8")


def _is_of_one_column(rule: Rule) -> bool:
    alone = rule.kind not in ("unique", "in_partition") and len(rule.columns) == 1
    return alone and rule.name.startswith(f"{rule.columns[0]}_")


def _missing(column: ContractColumn) -> str:
    if not column.nullable:
        return "never missing"
    return "may be missing" if column.required else "may be missing; the source need not have the column"


def _readable(expr: pl.Expr | None) -> str:
    """An expression without the marks that polars sets around names and numbers."""
    text = re.sub(r'\bcol\("([^"]*)"\)', r"\1", str(expr))
    text = re.sub(r"\(dyn \w+: ([^()]*)\)", r"(\1)", text)
    text = re.sub(r"(?<!\w)\((\w+)\)", r"\1", text)
    return text[1:-1] if re.fullmatch(r"\[[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*\]", text) else text


def _anchors(kind: str, names: Iterable[str]) -> dict[str, str]:
    """Name -> the place in the page, of letters that a link may hold; unlike names never share one."""
    anchors: dict[str, str] = {}
    for name in names:
        base = anchor = f"{kind}-{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}"
        while anchor in anchors.values():
            anchor = f"{base}-{len(anchors)}"
        anchors[name] = anchor
    return anchors
