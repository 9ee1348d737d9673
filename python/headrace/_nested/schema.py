"""Between the columns of nested Arrow rows and dlt's schema: types that stand, what is new, contracts."""

from __future__ import annotations

from copy import copy
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.capabilities import adjust_schema_to_capabilities
from dlt.common.libs import pyarrow as dlt_pyarrow
from dlt.common.schema import Schema, utils
from dlt.common.schema.exceptions import CannotCoerceColumnException
from dlt.common.schema.typing import TColumnSchema, TPartialTableSchema, TTableSchema, TTableSchemaColumns

from headrace import _schema
from headrace._nested.tables import Column

_TYPE_PROPS = ("data_type", "precision", "scale")
_KEPT_PROPS = (*_TYPE_PROPS, "timezone", "nullable")


class SystemNames:
    """Names of dlt's own columns in a schema."""

    def __init__(self, schema: Schema) -> None:
        normalizer: Any = schema.data_item_normalizer
        self.id: str = normalizer.c_dlt_id
        self.load_id: str = normalizer.c_dlt_load_id
        self.root_id: str = normalizer.c_dlt_root_id
        self.parent_id: str = normalizer.c_dlt_parent_id
        self.list_idx: str = normalizer.c_dlt_list_idx

    def own(self) -> dict[str, str]:
        """The columns that rows do not bring, with their types."""
        texts = dict.fromkeys((self.id, self.load_id, self.root_id, self.parent_id), "text")
        return {**texts, self.list_idx: "bigint"}


def table_of(columns: dict[str, Column]) -> pa.Table:
    """The columns as a table."""
    fields = [pa.field(name, column.array.type, column.nullable) for name, column in columns.items()]
    return pa.Table.from_arrays([column.array for column in columns.values()], schema=pa.schema(fields))


class Columns:
    """What dlt's schema says of rows' columns, and what they add to it."""

    def __init__(self, schema: Schema, caps: DestinationCapabilitiesContext) -> None:
        self.schema = schema
        self.caps = caps
        self.names = SystemNames(schema)
        self._own = self.names.own()

    def fit(
        self, table: str, columns: dict[str, Column], known: TTableSchemaColumns, contract_on_types: bool
    ) -> set[str]:
        """Casts columns to the type that their column in the schema has, if no value changes: a destination would
        round what does not fit, and say nothing.

        Args:
            table: The table's name.
            columns: The columns, changed in place.
            known: The table's columns in the schema.
            contract_on_types: Whether a contract decides about other types.

        Returns:
            Columns that do not fit and that the contract decides about.

        Raises:
            CannotCoerceColumnException: A value does not fit.
        """
        unfit = set()
        for name, column in columns.items():
            spec = known.get(name)
            if spec is None or not utils.is_complete_column(spec):
                continue
            array = column.array
            found = self._infer(table, {name: column})[name]
            if spec["data_type"] == found["data_type"] == "json" or _same_type(spec, found):
                continue
            try:
                columns[name] = Column(array.cast(self._arrow_type(spec, array.type)), column.nullable)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
                if not contract_on_types:
                    raise _does_not_fit(self.schema.name, table, name, array, found, spec, error) from error
                unfit.add(name)
        return unfit

    def _arrow_type(self, spec: TColumnSchema, now: pa.DataType) -> pa.DataType:
        target = dlt_pyarrow.get_py_arrow_datatype(spec, self.caps, "UTC")
        if pa.types.is_timestamp(target) and pa.types.is_timestamp(now):
            return pa.timestamp(target.unit, now.tz)  # the time zone is dlt's to change
        return target

    def _infer(self, table: str, columns: dict[str, Column]) -> TTableSchemaColumns:
        """The columns as dlt reads them from Arrow's types."""
        arrow = pa.schema([pa.field(name, column.array.type, column.nullable) for name, column in columns.items()])
        try:
            found = dlt_pyarrow.py_arrow_to_table_schema_columns(arrow)
        except dlt_pyarrow.UnsupportedArrowTypeException as error:
            error.table_name = table
            raise
        return adjust_schema_to_capabilities(found, self.caps)

    def system(self, table: TTableSchema, name: str) -> TColumnSchema:
        """One of dlt's own columns as its JSON normalizer makes it."""
        return _schema.inferred_column(self.schema, self.caps, table, (name, self._own[name], 0, 0, 0))

    def accept(
        self, name: str, parent: str | None, columns: dict[str, Column], unfit: set[str]
    ) -> tuple[bool, pa.Array | None]:
        """Adds a child table's new columns to dlt's schema, as its normalizer does, by its contracts (dlt-semantics 3.10).

        Args:
            name: The table.
            parent: Its parent's; None: it has none.
            columns: Its rows; what a contract leaves out is taken away.
            unfit: As `fit` returned.

        Returns:
            Whether the rows are wanted at all; numbers of those that a contract lets in, None: all.

        Raises:
            DataValidationError: A contract that freezes.
        """
        schema = self.schema
        partial = self._partial(name, parent, columns, unfit)
        if partial is None:
            return True, None
        of_contract = name if name in schema.tables else parent or name
        contract = schema.resolve_contract_settings_for_table(of_contract)
        update, filters = schema.apply_schema_contract(contract, partial, data_item=table_of(columns))
        if update is None:
            return False, None
        if update["columns"] or name not in schema.tables:
            schema.update_table(update, normalize_identifiers=False)
        return True, _leave_out(columns, [(column, mode) for _, column, mode in filters])

    def _partial(
        self, name: str, parent: str | None, columns: dict[str, Column], unfit: set[str]
    ) -> TPartialTableSchema | None:
        """What the schema does not have of the table; None: it has all."""
        existing = self.schema.tables.get(name)
        table: TTableSchema = existing or utils.new_table(name, parent)  # type: ignore[arg-type]
        found = self._infer(name, columns)
        for column, spec in found.items():
            known = table["columns"].get(column)
            if column in self._own:
                found[column] = self.system(table, column)
            elif known is not None and not utils.is_complete_column(known):
                found[column] = utils.merge_column(spec, known)
        keep_types(found, table["columns"], unfit)
        partial = copy(table)
        partial["columns"] = {
            column: spec
            for column, spec in found.items()
            if not utils.is_complete_column(table["columns"].get(column, {})) or column in unfit
        }
        return partial if partial["columns"] or existing is None else None


def keep_types(found: TTableSchemaColumns, known: TTableSchemaColumns, unfit: set[str]) -> None:
    """Gives columns that fit those of the schema their type as it stands there."""
    for name, spec in found.items():
        standing = known.get(name)
        if standing is None or name in unfit or not utils.is_complete_column(standing):
            continue
        for prop in _KEPT_PROPS:
            spec.pop(prop, None)  # type: ignore[misc]
            if prop in standing:
                spec[prop] = standing[prop]  # type: ignore[literal-required]


def _same_type(a: TColumnSchema, b: TColumnSchema) -> bool:
    return all(a.get(prop) == b.get(prop) for prop in _TYPE_PROPS)


def _does_not_fit(
    schema_name: str,
    table: str,
    name: str,
    array: pa.Array,
    found: TColumnSchema,
    spec: TColumnSchema,
    error: Exception,
) -> Exception:
    from_type, to_type = found["data_type"] or "json", spec["data_type"] or "json"
    raised = CannotCoerceColumnException(schema_name, table, name, from_type, to_type, str(error))
    wanted = ", ".join(f"{prop} {spec[prop]}" for prop in _TYPE_PROPS if spec.get(prop) is not None)  # type: ignore[literal-required]
    raised.args = (
        f"{raised}: the Arrow type {array.type} does not fit the column, which is {wanted}. Cast it in the source, or give the"
        " column another name, or a hint before its first load.",
    )
    return raised


def _leave_out(columns: dict[str, Column], filters: list[tuple[str, str]]) -> pa.Array | None:
    """Takes the columns that a contract leaves out away. Returns the numbers of the rows that stay; None: all."""
    drop: pa.Array | None = None
    for name, mode in filters:
        column = columns.pop(name)
        if mode == "discard_row":
            has_value = column.array.is_valid()
            drop = has_value if drop is None else pc.or_(drop, has_value)
    if drop is None:
        return None
    return pc.indices_nonzero(pc.invert(drop)).cast(pa.int64())
