"""Values of dlt's rows that Parquet does not hold. dlt's writer fails when it writes thousands of rows, and names none of them:
rows are looked at when their record is at hand, and what the writer then raises tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SHOWN_CHARACTERS = 60
_MOST = 20  # values that are remembered
_ADVICE = {
    "bigint": "`decimal` with precision 38 and scale 0, `text`, or a bigint of more bits",
    "decimal": "`decimal` with a greater `precision` and another `scale`, or `text`",
    "wei": "`text`",
    "timestamp": "`timestamp` with `precision` 6 or less, which reaches from year 1 to 9999",
    "binary": "`binary` without `precision`",
}


class RowCheck:
    """Of a table's rows."""

    def __init__(self, table: str, caps: Any, origin: Callable[[], str]) -> None:
        self.table = table
        self._caps = caps
        self._origin = origin  # of the row at hand
        self._columns: Any = None
        self._n_columns = 0
        # Of columns that do not hold all values: name, dlt's type, Arrow type.
        self._narrow: list[tuple[str, str, Any]] = []
        self._found: list[tuple[type[Exception], str]] = []

    def look(self, row: Any, columns: Any) -> None:
        """Remembers the row's values that dlt's Parquet writer will fail on."""
        import pyarrow as pa  # no matter of the engine's rows, as below

        if columns is not self._columns or len(columns) != self._n_columns:
            from dlt.common.libs.pyarrow import get_py_arrow_datatype

            self._columns, self._n_columns = columns, len(columns)
            self._narrow = [
                (name, column["data_type"], get_py_arrow_datatype(column, self._caps, "UTC"))
                for name, column in columns.items()
                if column.get("data_type") in _ADVICE
            ]
        for name, data_type, arrow_type in self._narrow:
            value = row.get(name)
            if value is None or len(self._found) == _MOST:
                continue
            try:
                pa.scalar(value, arrow_type)
            except (ArithmeticError, ValueError, TypeError) as ex:  # pyarrow's are of these too
                shown = repr(value)
                shown = shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."
                told = (
                    f"`{self.table}.{name}` = {shown} does not fit the Parquet column's type {arrow_type}: {ex}"
                    f" ({self._origin()}). Give the column another type in the resource's `columns` hints"
                    f" ({_ADVICE[data_type]}), write another file format (`loader_file_format`), or mend the source"
                )
                self._found.append((type(ex), told))

    def tell(self, ex: Exception) -> None:
        """Has what the writer raised tell of the value."""
        told = next((told for of, told in self._found if of is type(ex)), None)
        if told is not None:
            ex.args = (told,)
            vars(ex)["is_told"] = True
