"""What the engine asks dlt once for each new key: its name, and what the schema's settings say of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlt.common.normalizers.json import helpers as normalize_helpers
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema

from headrace import _core

OWN_NOT_NULL = ("_dlt_id", "_dlt_root_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id")


def naming(schema: Schema) -> Callable[[int, tuple[str, ...]], str]:
    """Dlt's names of keys and tables, as `relational.DataItemNormalizer` asks for them."""
    convention: NamingConvention = schema.naming

    def name(kind: int, parts: tuple[str, ...]) -> str:
        if kind == _core.NAME_JOIN:
            return str(normalize_helpers.shorten_fragments(convention, *parts))
        (key,) = parts
        if kind == _core.NAME_PATH:
            return str(normalize_helpers.normalize_table_identifier(schema, convention, key))
        if not key or key.isspace():
            return str(schema.data_item_normalizer.EMPTY_KEY_IDENTIFIER)  # type: ignore[attr-defined]
        return str(normalize_helpers.normalize_identifier(schema, convention, key))

    return name


def has_rules(schema: Schema) -> bool:
    """Whether the schema has row filters, `not_null` hints other than dlt's own, or a preferred type json."""
    not_null = (schema.settings.get("default_hints") or {}).get("not_null") or []
    return (
        bool(schema._compiled_excludes)
        or bool(set(map(str, not_null)) - set(OWN_NOT_NULL))
        or "json" in (schema.settings.get("preferred_types") or {}).values()
    )


def rules(schema: Schema, filter_row: Callable[[str, Any], Any]) -> Callable[[str, str], int]:
    """RULE_ flags of a table's column. `filter_row`: of dlt's `JsonLItemsNormalizer`."""

    def find(table: str, column: str) -> int:
        flags = 0
        if not filter_row(table, {column: None}):
            flags |= _core.RULE_LEFT_OUT
        if schema._infer_hint("not_null", column):
            flags |= _core.RULE_NOT_NULL
        if schema.get_preferred_type(column) == "json":
            flags |= _core.RULE_JSON
        return flags

    return find
