"""Why a table of an extracted file is normalized by dlt itself, and when the schema is left to dlt."""

from __future__ import annotations

from typing import Any

from dlt.common.json import PUA_START
from dlt.common.normalizers.json import relational, relational_no_coercion
from dlt.common.normalizers.utils import DLT_ID_LENGTH_BYTES
from dlt.common.schema import Schema
from dlt.common.storages.data_item_storage import DataItemStorage

from headrace import _core, _schema
from headrace._normalize.dlt_versions import context_timezone

_OWN_NAMES = ("_dlt_id", "_dlt_load_id", "_dlt_root_id", "_dlt_parent_id", "_dlt_list_idx", "value")
_LINKS = ("_dlt_root_id", "_dlt_parent_id", "_dlt_list_idx")  # not known before a page's end
_OWN_HINTS = {"not_null", "parent_key", "root_key", "unique", "row_key"}
_FORMATS = ("parquet", "insert_values", "jsonl", "csv")
_TYPED_TEXT = 0xF026  # the first of dlt's marks of typed text
_SPECIAL_PROPS = ("precision", "scale", "timezone")


def reason(schema: Schema, root: str, storage: DataItemStorage, is_native: bool = True) -> str | None:
    """Why dlt normalizes this table's records itself; None: the engine does. `is_native`: the setting."""
    if not is_native:
        return "[headrace] native = false"
    if root.startswith(schema._dlt_tables_prefix):
        return "a table of dlt's own"  # a row a run: an engine and a text layout for it would cost more
    if storage.writer_spec.data_item_format != "object" or storage.writer_spec.file_format not in _FORMATS:
        return f"file format {storage.writer_spec.file_format}"
    return _of_normalizer(schema) or _of_settings(schema) or _of_tables(schema, root)


def leaves_schema_to_dlt(schema: Schema, root: str) -> bool:
    """Whether dlt decides on each new table and column: by contracts, preferred types, detections or hints."""
    own = schema.settings
    if list(own.get("detections") or []) != ["iso_timestamp"] or own.get("preferred_types"):
        return True
    if set(own.get("default_hints") or {}) - _OWN_HINTS or not _all_evolve(own.get("schema_contract")):
        return True
    if isinstance(schema.data_item_normalizer, relational_no_coercion.DataItemNormalizer):
        return True
    if tuple(_schema.capabilities().decimal_precision or _schema.DEFAULT_DECIMAL) != _schema.DEFAULT_DECIMAL:
        return True
    if _schema.parquet_limit({"data_type": "timestamp"}):
        return True
    passes_root_id = _passes_root_id(schema)
    for table in _schema.tables_below(schema, root):
        if not _all_evolve(table.get("schema_contract")):
            return True
        if passes_root_id and not table.get("parent") and table["name"] != root:
            return True  # when a table below it gets `_dlt_root_id` from above, its own ids are that from then on
        for column in table["columns"].values():
            if column.get("data_type") is None and any(column.get(prop) is not None for prop in _SPECIAL_PROPS):
                return True
    return False


def _mappings(schema: Schema) -> list[dict[str, str]]:
    """What rows of tables pass on to rows below."""
    propagation: Any = getattr(schema.data_item_normalizer, "propagation_config", None) or {}
    return [propagation.get("root") or {}, *(propagation.get("tables") or {}).values()]


def _passes_root_id(schema: Schema) -> bool:
    return any("_dlt_root_id" in mapping.values() for mapping in _mappings(schema))


def _of_normalizer(schema: Schema) -> str | None:
    normalizer = schema.data_item_normalizer
    if type(normalizer) not in (relational.DataItemNormalizer, relational_no_coercion.DataItemNormalizer):
        return f"JSON normalizer {type(normalizer).__module__}"
    for name in _OWN_NAMES:
        if schema.naming.normalize_identifier(name) != name:
            return f"the naming convention changes `{name}`"
    return _of_propagation([pair for mapping in _mappings(schema) for pair in mapping.items()])


def _of_propagation(pairs: list[tuple[str, str]]) -> str | None:
    ids = {target for source, target in pairs if source == "_dlt_id"} | {"_dlt_root_id"}
    for source, target in pairs:
        is_own = target in _OWN_NAMES and (source, target) != ("_dlt_id", "_dlt_root_id")
        if is_own or source in _LINKS or source in ids or (source != "_dlt_id" and target in ids):
            return f"`{source}` is propagated as `{target}`"
    return f"`_dlt_id` is propagated under {len(ids)} names" if len(ids) > _core.ID_NAMES else None


def _of_settings(schema: Schema) -> str | None:
    if not 0 < DLT_ID_LENGTH_BYTES <= _core.ID_MAX_BYTES:
        return f"DLT_DLT_ID_LENGTH_BYTES is {DLT_ID_LENGTH_BYTES}"
    if PUA_START != _TYPED_TEXT:
        return "DLT_JSON_TYPED_PUA_START"
    if context_timezone() != "UTC":
        return "a context timezone"
    return None


def _of_tables(schema: Schema, root: str) -> str | None:
    tables = _schema.tables_below(schema, root)
    if tables and tables[0].get("parent"):
        return f"its rows and those below `{tables[0]['parent']}` share the table"
    if len(tables) > _core.MAX_TABLES:
        return f"there are more than {_core.MAX_TABLES} tables below `{root}`"
    for table in tables:
        if len(table["columns"]) > _core.MAX_COLUMNS:
            return f"table `{table['name']}` has more than {_core.MAX_COLUMNS} columns"
        nesting = (table.get("x-normalizer") or {}).get("max_nesting")
        if not isinstance(nesting, int | None):
            return f"table `{table['name']}` has max_nesting {nesting!r}"
        for name, column in table["columns"].items():
            why = _of_column(column)
            if why is not None:
                return f"column `{table['name']}.{name}` {why}"
    return None


def _of_column(column: Any) -> str | None:
    data_type = column.get("data_type")
    if data_type is None:
        return None
    if data_type not in (*_schema.ENGINE_TYPES, "wei"):
        return f"is a {data_type}"
    if data_type in ("decimal", "wei"):
        precision, scale = _schema.decimal_precision(column)
        is_number = isinstance(precision, int) and isinstance(scale, int)  # the schema's file may be edited by hand
        if not is_number or not 0 <= scale <= precision <= _schema.MAX_WIDE_PRECISION:
            return f"is a {data_type}({precision}, {scale})"
    if data_type == "json" and column.get("x-nested-type"):
        return "has a nested Arrow type"
    return None


def _all_evolve(contract: Any) -> bool:
    if contract is None or contract == "evolve":
        return True
    return isinstance(contract, dict) and all(mode == "evolve" for mode in contract.values())
