"""Violations of schema contracts, told together."""

from __future__ import annotations

from typing import NamedTuple

from dlt.common.schema.exceptions import DataValidationError

_SHOWN = 20
_SHOWN_CHARACTERS = 60


class Violation(NamedTuple):
    """A record that a contract with `freeze` does not let in."""

    origin: str
    error: DataValidationError

    def __str__(self) -> str:
        error = self.error
        if error.schema_entity == "tables":
            return f"{self.origin}: a new table `{error.table_name}`"
        value = error.data_item.get(error.column_name) if hasattr(error.data_item, "get") else None
        shown = repr(value)
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[:_SHOWN_CHARACTERS] + "..."
        what = "a new column" if error.schema_entity == "columns" else "a value of another type makes the column"
        return f"{self.origin}: {what} `{error.table_name}.{error.column_name}` = {shown}"


def told_together(violations: list[Violation]) -> DataValidationError:
    """dlt's error of the first violation, telling of the others and of what can be done."""
    error = violations[0].error
    shown = violations[:_SHOWN]
    more = len(violations) - len(shown)
    lines = [f"{error} ({violations[0].origin})"]
    if len(violations) > 1:
        lines.append(
            f"{len(violations)} records of the file violate contracts" + (", the first of them:" if more else ":")
        )
        lines += [f"  {violation}" for violation in shown]
    table, entity = error.table_name, error.schema_entity
    lines.append(
        f"To load such records, give the resource of `{table}` schema_contract={{'{entity}': 'evolve'}} (add what is new),"
        " 'discard_value' or 'discard_row' (leave it out); else mend the source."
    )
    error.args = ("\n".join(lines),)
    return error
