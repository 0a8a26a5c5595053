"""Whether a polars expression gives each row's value from that row alone.

An expression that looks at other rows (an aggregate, a window, a shift) sees what was not yet known at the
event's time, and gives another value when one row is scored alone. What else a feature must keep is in `features`.
"""

import polars as pl


def why_not_row_by_row(expr: pl.Expr) -> str | None:
    """Why an expression can't be taken as computed row by row; None if it can.

    Every node of the expression is asked, since polars answers for the outermost only: it calls
    `pl.col("a") - pl.col("a").mean()` separable by rows.
    """
    try:
        separable = expr.meta.is_row_separable()
        keeps_rows = expr.meta.is_length_preserving() or expr.meta.is_scalar()
    except pl.exceptions.InvalidOperationError:
        return f"{expr} selects columns by a pattern; name one column"
    except pl.exceptions.ColumnNotFoundError:
        return f"{expr} runs a Python function or something else that can't be checked; write it in polars expressions"
    inputs = expr.meta.pop()
    if not separable or not keeps_rows or _is_in_a_column(expr, inputs) or _replaces_by_columns(expr, inputs):
        return f"{expr} looks across rows"
    if str(expr).endswith("cast(Categorical)"):
        return f"{expr} has codes that depend on the rows seen before; keep the string or cast to pl.Enum"
    return next((reason for reason in map(why_not_row_by_row, inputs) if reason), None)


def _is_in_a_column(expr: pl.Expr, inputs: list[pl.Expr]) -> bool:
    # polars calls `is_in(another column)` separable, though it looks the value up in all rows of that column.
    # `pop` gives the last input first.
    is_in = len(inputs) == 2 and str(expr).startswith(f"{inputs[1]}.is_in(")
    return is_in and not inputs[0].meta.is_literal()


def _replaces_by_columns(expr: pl.Expr, inputs: list[pl.Expr]) -> bool:
    # `replace(old, new)` takes columns as a whole, and polars calls that separable; a default is taken by row.
    replaces = len(inputs) > 2 and str(expr).startswith((f"{inputs[-1]}.replace([", f"{inputs[-1]}.replace_strict(["))
    return replaces and not all(values.meta.is_literal() for values in inputs[-3:-1])
