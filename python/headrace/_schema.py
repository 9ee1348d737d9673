"""Between dlt's schema and the engine's: the seed of a stream, and what its batches add."""

from __future__ import annotations

from copy import copy
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.destination.capabilities import (
    DestinationCapabilitiesContext,
    adjust_column_schema_to_capabilities,
)
from dlt.common.normalizers.json import helpers as normalize_helpers
from dlt.common.normalizers.utils import DLT_ID_LENGTH_BYTES
from dlt.common.schema import Schema, utils
from dlt.common.schema.typing import TColumnSchema, TTableSchema
from dlt.extract.resource import DltResource

from headrace import _core
from headrace._normalize import dlt_versions as _dlt_versions

ENGINE_TYPES = ("text", "bigint", "double", "bool", "timestamp", "json", "date", "time", "decimal", "binary")
_SPECIAL_PROPS = ("precision", "scale", "timezone", "x-nested-type")
DEFAULT_DECIMAL = (38, 9)  # precision and scale of the engine's new decimal columns
MAX_WIDE_PRECISION = 76  # of Arrow's decimals
_MAX_PRECISION = 38
_MICROSECONDS = 6  # digits of a second that the engine's timestamps have


def capabilities() -> DestinationCapabilitiesContext:
    """The destination's capabilities, or generic ones when there is no destination yet."""
    container = Container()
    if DestinationCapabilitiesContext in container:
        return container[DestinationCapabilitiesContext]
    return DestinationCapabilitiesContext.generic_capabilities()


def table_name(schema: Schema, table: Any) -> str:
    """The table's name as it stands in the schema."""
    return normalize_helpers.normalize_table_identifier(schema, schema.naming, str(table["name"]))


def prepare_root(schema: Schema, resource: DltResource) -> str:
    """Puts the resource's table with its hints into the schema, as dlt's extractor does. Returns the table's name."""
    computed = resource.compute_table_schema()
    name = table_name(schema, computed)
    computed["name"] = name
    computed = utils.normalize_table_identifiers(computed, schema.naming)
    schema.update_table(computed, normalize_identifiers=False, merge_compound_props=False)
    return name


def chain_of(schema: Schema, root: str) -> list[TTableSchema]:
    """The root's table and all nested under it, parents first."""
    return utils.get_nested_tables(schema.tables, root)


def tables_below(schema: Schema, root: str) -> list[TTableSchema]:
    """The tables that records of the root may go to: its chain, and what keys broke out of it, with their chains. Parents
    first. The normalizer finds tables by their names, whatever their parents are.
    """
    if root not in schema.tables:
        return []
    out = {str(table["name"]): table for table in chain_of(schema, root)}
    for name, table in schema.tables.items():
        if name not in out and not table.get("parent") and _may_be_below(schema, root, name):
            out.update({str(below["name"]): below for below in chain_of(schema, name)})
    return list(out.values())


def _may_be_below(schema: Schema, root: str, name: str) -> bool:
    """Whether the root's name and a path make this name. Shortened names keep the first half of what they were."""
    longest = schema.naming.max_length or 0
    start = f"{root}{schema.naming.PATH_SEPARATOR}"
    if longest and len(name) == longest:
        start = start[: (longest - 6) // 2]
    return name.startswith(start) and not name.startswith(schema._dlt_tables_prefix)


def unsupported_table(table: TTableSchema, root: str) -> str | None:
    """Why the engine cannot write this table; None: it can."""
    if table["name"] != root and not table.get("parent"):
        return f"table `{table['name']}` is broken out of its chain by a key"
    if len(table["columns"]) > _core.MAX_COLUMNS:
        return f"table `{table['name']}` has more than {_core.MAX_COLUMNS} columns"
    for name, column in table["columns"].items():
        data_type = column.get("data_type")
        if data_type is not None and data_type not in ENGINE_TYPES:
            return f"column `{table['name']}.{name}` is hinted as {data_type}"
        if data_type == "decimal":
            precision, scale = decimal_precision(column)
            if not 0 <= scale <= precision <= _MAX_PRECISION:
                return f"column `{table['name']}.{name}` is a decimal({precision}, {scale})"
        elif any(column.get(prop) is not None for prop in _SPECIAL_PROPS if (data_type, prop) != ("text", "precision")):
            return f"column `{table['name']}.{name}` has a precision, scale or timezone hint"
    return None


def decimal_precision(column: TColumnSchema) -> tuple[int, int]:
    """Precision and scale of a decimal or wei column's Arrow type, as dlt chooses them (`get_py_arrow_numeric`)."""
    precision, scale = column.get("precision"), column.get("scale")
    if column.get("data_type") == "wei":
        precision, scale = capabilities().wei_precision or DEFAULT_DECIMAL
    elif precision is None:  # destinations without (qdrant, weaviate) have text files only, where they do not matter
        precision, scale = capabilities().decimal_precision or DEFAULT_DECIMAL
    scale = scale or 0
    if isinstance(precision, int) and isinstance(scale, int) and precision > MAX_WIDE_PRECISION:
        return MAX_WIDE_PRECISION, max(0, MAX_WIDE_PRECISION - (precision - scale))
    return precision, scale


def parquet_limit(column: TColumnSchema) -> int:
    """Of a column whose Parquet type holds fewer values than the engine's: bits of a bigint, digits of a timestamp's second,
    bytes of a binary. 0: it holds all.
    """
    data_type, precision = column.get("data_type"), column.get("precision")
    if data_type == "timestamp":
        digits = capabilities().timestamp_precision if precision is None else precision
        return digits if digits > _MICROSECONDS else 0
    if precision is None:
        return 0
    if data_type == "bigint":
        return next((bits for bits in (8, 16, 32) if precision <= bits), 0)
    return precision if data_type == "binary" else 0


def seed_tables(schema: Schema, root: str, for_parquet: bool = False) -> list[_core.Table]:
    """The chain as the engine takes it. `for_parquet`: values that a column's Parquet type does not hold are refused."""
    out: list[_core.Table] = []
    for table in tables_below(schema, root):
        columns: list[_core.Column] = []
        for name, column in table["columns"].items():
            flags = 0
            if column.get("nullable") is False:
                flags |= _core.COL_NOT_NULL
            if column.get("variant"):
                flags |= _core.COL_VARIANT
            if column.get("primary_key"):
                flags |= _core.COL_PRIMARY_KEY
            data_type = column.get("data_type") or ""
            precision, scale = decimal_precision(column) if data_type in ("decimal", "wei") else (0, 0)
            if for_parquet and data_type in ("bigint", "timestamp", "binary"):
                precision = parquet_limit(column)
            columns.append((name, data_type, flags, precision, scale))
        nesting = (table.get("x-normalizer") or {}).get("max_nesting")
        name, parent = str(table["name"]), table.get("parent")
        id_kind = "random" if parent or name == root else normalize_helpers.get_root_row_id_type(schema, name)
        out.append((name, parent, -1 if nesting is None else int(nesting), columns, id_kind))
    return out


def normalizer_options(schema: Schema, root: str, propagation: Any = None) -> dict[str, Any]:
    """`max_nesting`, `max_length`, `id_kind`, `id_bytes` and `propagations` of a stream (dlt-semantics rules 9, 14, 41, 44).

    `propagation`: what a normalizer at work goes by; else the schema's configuration, which the next one reads.
    """
    config = schema._normalizers_config["json"].get("config") or {}
    if propagation is None:
        propagation = config.get("propagation") or {}
    return {
        "max_nesting": normalize_helpers.get_table_nesting_level(schema, root, config.get("max_nesting", 1000)),
        "max_length": schema.naming.max_length or 0,
        "id_kind": normalize_helpers.get_root_row_id_type(schema, root),
        "id_bytes": DLT_ID_LENGTH_BYTES,
        "propagations": propagations(schema, root, propagation),
    }


def propagations(schema: Schema, root: str, propagation: Any) -> list[tuple[str | None, str, str]]:
    """Which columns the rows below a row get: (table or None, from, as), as dlt's normalizer goes through them."""
    found: list[tuple[str | None, str, str]] = [(None, *pair) for pair in (propagation.get("root") or {}).items()]
    below = {root, *(str(table["name"]) for table in tables_below(schema, root))}
    for table, mapping in (propagation.get("tables") or {}).items():
        if table in below:
            found.extend((table, *pair) for pair in mapping.items())
    return found


def inferred_column(
    schema: Schema, caps: DestinationCapabilitiesContext, table: TTableSchema, spec: _core.Column
) -> TColumnSchema:
    """What `JsonLItemsNormalizer._infer_column` would give for the column."""
    name, data_type, flags = spec[:3]
    column: TColumnSchema = {
        "name": name,
        "data_type": data_type,  # type: ignore[typeddict-item]
        "nullable": not schema._infer_hint("not_null", name),
    }
    for hint in schema._compiled_hints:
        if hint == "not_null":
            continue
        prop = utils.hint_to_column_prop(hint)
        value = schema._infer_hint(hint, name)
        if not utils.has_default_column_prop_value(prop, value):
            column[prop] = value
    if flags & _core.COL_VARIANT:
        column["variant"] = True
        if _dlt_versions.DESCRIBES_VARIANTS:
            column["description"] = f"Variant of column {name} generated by dlt"
    column = adjust_column_schema_to_capabilities(column, caps)
    hinted = table["columns"].get(name)
    if hinted is not None and not utils.is_complete_column(hinted):
        column = utils.merge_column(column, hinted)
    return column


def tell(schema: Schema, caps: DestinationCapabilitiesContext, batch: _core.TableBatch) -> TTableSchema | None:
    """Adds the batch's new table and columns to dlt's schema. Returns what was added, as a partial table."""
    if not batch.new_columns and not batch.is_new:
        return None
    table = schema.tables.get(batch.name) or utils.new_table(batch.name, batch.parent)  # type: ignore[arg-type]
    partial = copy(table)
    partial["columns"] = {spec[0]: inferred_column(schema, caps, table, spec) for spec in batch.new_columns}
    schema.update_table(partial, normalize_identifiers=False)
    return partial
