"""Avro schemas as Arrow types (Avro 1.12, "Schema Declaration" and "Logical Types").

boolean bool | int int32 | long int64 | float, double | bytes binary | string, enum, uuid string | fixed binary[n] | array list
| map map | record struct | [null, T] T, nullable | decimal decimal128, decimal256 | date date32 | time-millis time32[ms]
| time-micros time64[us] | timestamp-* timestamp[ms, us, ns], UTC | local-timestamp-* the same without a zone
| duration struct<months, days, milliseconds> | any other union struct, a member a branch (int and long are one, and so on)
| a record within itself: JSON text
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
from dlt.common.json import json

_MAX_DEPTH = 100  # of types in types: deeper ones are no table
_MAX_FIELDS = 10_000
_PRIMITIVES = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    ("long", "timestamp-millis"): pa.timestamp("ms", "UTC"),
    ("long", "timestamp-micros"): pa.timestamp("us", "UTC"),
    ("long", "timestamp-nanos"): pa.timestamp("ns", "UTC"),
    ("long", "local-timestamp-millis"): pa.timestamp("ms"),
    ("long", "local-timestamp-micros"): pa.timestamp("us"),
    ("long", "local-timestamp-nanos"): pa.timestamp("ns"),
}
_BY_COLUMNS = {"date", "time-millis", "time-micros", "timestamp-millis", "timestamp-micros", "local-timestamp-millis"}
_BY_COLUMNS |= {"local-timestamp-micros"}  # logical types that Polars reads as they are
_DURATION = pa.struct([("months", pa.uint32()), ("days", pa.uint32()), ("milliseconds", pa.uint32())])
_KINDS = {  # branches of a union that Python objects do not tell apart
    "int": "long",
    "float": "double",
    "enum": "string",
    "fixed": "bytes",
}

Convert = Callable[[Any], Any]
Rebuild = Callable[[pa.Array], pa.Array]


class Type(NamedTuple):
    """An Avro type.

    Attributes:
        arrow: What becomes of it.
        kind: Its name as a union's branch.
        nullable: Whether null is one of its branches.
        plain: A schema for the same bytes that Polars reads into columns: enums are ints, maps arrays of key and value;
            None: there is none.
        convert: Makes of an object that fastavro gives what pyarrow takes; None: nothing to do. Never called with None.
        rebuild: Makes of what Polars gives for `plain` the Arrow type; None: a cast does.
    """

    arrow: pa.DataType
    kind: str
    nullable: bool = False
    plain: Any = None
    convert: Convert | None = None
    rebuild: Rebuild | None = None

    def rebuilt(self, array: pa.Array) -> pa.Array:
        """What Polars gave as this type."""
        return array.cast(self.arrow) if self.rebuild is None else self.rebuild(array)


class Types:
    """Reads a schema; knows the names that it declares."""

    def __init__(self) -> None:
        self._named: dict[str, Type | None] = {}  # None: being read
        self._n_fields = 0

    def read(self, schema: Any, namespace: str = "", depth: int = 0) -> Type:
        """The type of a schema.

        Raises:
            ValueError: It is none, or too large.
        """
        if depth > _MAX_DEPTH:
            raise ValueError(f"the schema is nested deeper than {_MAX_DEPTH} types")
        if isinstance(schema, str):
            return self._by_name(schema, namespace)
        if isinstance(schema, list):
            return self._union(schema, namespace, depth)
        if not isinstance(schema, dict) or "type" not in schema:
            raise ValueError(f"the schema has {schema!r:.100} where a type is expected")
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._record(schema, namespace, depth)
        if kind in ("enum", "fixed"):
            made = _enum_or_fixed(schema)
            self._named[_full_name(schema, namespace)] = made
            return made._replace(kind=_KINDS.get(made.kind, made.kind))
        if kind == "array":
            return _array(self.read(schema.get("items"), namespace, depth + 1))
        if kind == "map":
            return _map(self.read(schema.get("values"), namespace, depth + 1))
        if not isinstance(kind, str):
            return self.read(kind, namespace, depth + 1)
        return _logical(schema, kind) or self._by_name(kind, namespace)

    def _by_name(self, name: str, namespace: str) -> Type:
        if name in _PRIMITIVES:
            return Type(_PRIMITIVES[name], _KINDS.get(name, name), name == "null", None if name == "null" else name)
        for full in (f"{namespace}.{name}" if namespace and "." not in name else name, name):
            if full in self._named:
                found = self._named[full]
                if found is None:
                    return Type(pa.string(), "json", True, None, _json_text)
                return found
        raise ValueError(f"the schema has no type `{name}`")

    def _record(self, schema: dict[str, Any], namespace: str, depth: int) -> Type:
        name = _full_name(schema, namespace)
        self._named[name] = None
        below = name.rpartition(".")[0]
        fields: list[tuple[str, Type]] = []
        for field in schema.get("fields") or ():
            self._n_fields += 1
            if self._n_fields > _MAX_FIELDS:
                raise ValueError(f"the schema has more than {_MAX_FIELDS} fields")
            fields.append((str(field["name"]), self.read(field.get("type"), below, depth + 1)))
        arrow = pa.struct([pa.field(key, kind.arrow) for key, kind in fields])
        changed = [(key, kind.convert) for key, kind in fields if kind.convert is not None]
        plain = None
        if fields and all(kind.plain is not None for _, kind in fields):
            plain = {
                "type": "record",
                "name": "r",
                "fields": [{"name": key, "type": kind.plain} for key, kind in fields],
            }
        kinds = [kind for _, kind in fields]
        made = Type(arrow, name.rpartition(".")[2], False, plain, _member_changer(changed), _struct_of(arrow, kinds))
        self._named[name] = made
        return made

    def _union(self, schema: list[Any], namespace: str, depth: int) -> Type:
        branches = [self.read(branch, namespace, depth + 1) for branch in schema]
        present = [branch for branch in branches if branch.kind != "null"]
        nullable = len(present) < len(branches)
        if not present:
            return Type(pa.null(), "null", True)
        if len(present) == 1:
            return _optional(present[0], branches)
        members: dict[str, Type] = {}
        for branch in present:
            known = members.get(branch.kind)
            members[branch.kind] = branch if known is None else _wider(known, branch)
        if len(members) == 1:
            return next(iter(members.values()))._replace(nullable=nullable, plain=None)
        arrow = pa.struct([pa.field(kind, member.arrow) for kind, member in members.items()])
        return Type(arrow, "union", nullable, None, _branch_chooser(members))


def _optional(one: Type, branches: list[Type]) -> Type:
    """A type that may be null; fastavro names the record of a union."""
    plain = None
    if one.plain is not None and len(branches) == 2:
        plain = ["null", one.plain] if branches[0].kind == "null" else [one.plain, "null"]
    convert = _second_of(one.convert) if _is_record(one) else one.convert
    return one._replace(nullable=True, plain=plain, convert=convert)


def _second_of(convert: Convert | None) -> Convert:
    """Of what fastavro gives for a record of a union, (name, record), the record."""
    return lambda value: value[1] if convert is None else convert(value[1])


def _is_record(kind: Type) -> bool:
    return pa.types.is_struct(kind.arrow) and kind.kind not in ("union", "duration")


def _full_name(schema: dict[str, Any], namespace: str) -> str:
    name = str(schema.get("name", ""))
    if "." in name:
        return name
    namespace = schema.get("namespace", namespace) or ""
    return f"{namespace}.{name}" if namespace else name


def _enum_or_fixed(schema: dict[str, Any]) -> Type:
    if schema["type"] == "enum":
        symbols = [str(symbol) for symbol in schema.get("symbols") or ()]
        return Type(pa.string(), "enum", False, "int", None, lambda array: pa.array(symbols, pa.string()).take(array))
    size, logical = schema.get("size"), schema.get("logicalType")
    if not isinstance(size, int) or not 0 <= size <= 1 << 20:
        raise ValueError(f"the schema has a fixed type of size {size!r}")
    if logical == "decimal" and (decimal := _decimal(schema)) is not None:
        return decimal
    if logical == "duration" and size == 12:
        return Type(_DURATION, "duration", False, None, _duration)
    if logical == "uuid" and size == 16:
        return Type(pa.string(), "string", False, None, lambda value: str(_uuid_of(value)))
    return Type(pa.binary(size), "fixed", False, {"type": "fixed", "name": "f", "size": size} if size else None)


def _logical(schema: dict[str, Any], kind: str) -> Type | None:
    """The logical type, if the schema has one that is valid; else the type is what is below it."""
    logical = schema.get("logicalType")
    if not isinstance(logical, str):
        return None
    if logical == "decimal" and kind == "bytes":
        return _decimal(schema)
    if logical == "uuid" and kind == "string":
        return Type(pa.string(), "string", False, "string", str)
    arrow = _LOGICAL.get((kind, logical))
    if arrow is None:
        return None
    plain = {"type": kind, "logicalType": logical} if logical in _BY_COLUMNS else kind
    return Type(arrow, logical.partition("-")[0], False, plain)


def _decimal(schema: dict[str, Any]) -> Type | None:
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if not isinstance(precision, int) or not isinstance(scale, int) or not 0 <= scale <= precision or precision < 1:
        return None
    if precision > 76:
        return None  # Arrow has none so wide: the bytes
    wide = precision > 38
    arrow = pa.decimal256(precision, scale) if wide else pa.decimal128(precision, scale)
    plain = {key: schema[key] for key in ("type", "size", "logicalType", "precision", "scale") if key in schema}
    return Type(arrow, "decimal", False, None if wide else {**plain, "name": "d"})


def _array(items: Type) -> Type:
    convert = items.convert
    changed = None if convert is None else lambda values: [None if v is None else convert(v) for v in values]
    arrow = pa.list_(items.arrow)
    plain = None if items.plain is None else {"type": "array", "items": items.plain}
    rebuild = None if items.rebuild is None else lambda array: _lists(array, arrow, items.rebuilt)
    return Type(arrow, "array", False, plain, changed, rebuild)


def _map(values: Type) -> Type:
    convert = values.convert or _same
    arrow = pa.map_(pa.string(), values.arrow)
    plain = None
    if values.plain is not None:
        fields = [{"name": "key", "type": "string"}, {"name": "value", "type": values.plain}]
        plain = {"type": "array", "items": {"type": "record", "name": "m", "fields": fields}}

    def entries(array: pa.Array) -> pa.Array:
        made = [array.field(0).cast(pa.string()), values.rebuilt(array.field(1))]
        return pa.StructArray.from_arrays(made, fields=[arrow.key_field, arrow.item_field])

    return Type(
        arrow,
        "map",
        False,
        plain,
        lambda found: [(key, None if value is None else convert(value)) for key, value in found.items()],
        lambda array: _lists(array, arrow, entries),
    )


def _lists(array: pa.Array, arrow: pa.DataType, values: Rebuild) -> pa.Array:
    """Lists (or maps) with other elements; the array is one that Polars made, a large_list."""
    array = array.cast(pa.list_(array.type.value_type))
    made = values(array.values)
    return pa.Array.from_buffers(arrow, len(array), array.buffers()[:2], array.null_count, array.offset, [made])


def _struct_of(arrow: pa.DataType, kinds: list[Type]) -> Rebuild | None:
    if all(kind.rebuild is None for kind in kinds):
        return None

    def rebuild(array: pa.Array) -> pa.Array:
        made = [kind.rebuilt(array.field(i)) for i, kind in enumerate(kinds)]
        return pa.StructArray.from_arrays(made, fields=list(arrow), mask=array.is_null())

    return rebuild


def _same(value: Any) -> Any:
    return value


def _json_text(value: Any) -> str:
    return str(json.dumps(_unnamed(value)))


def _unnamed(value: Any) -> Any:
    """The value without the names that fastavro gives to records of unions."""
    if isinstance(value, tuple):
        return _unnamed(value[1])
    if isinstance(value, dict):
        return {key: _unnamed(member) for key, member in value.items()}
    return [_unnamed(element) for element in value] if isinstance(value, list) else value


def _member_changer(changed: list[tuple[str, Convert]]) -> Convert | None:
    if not changed:
        return None

    def change(record: dict[str, Any]) -> dict[str, Any]:
        for key, convert in changed:
            value = record[key]
            if value is not None:
                record[key] = convert(value)
        return record

    return change


def _wider(a: Type, b: Type) -> Type:
    """Of two branches of one kind, that which holds both."""
    if a.arrow == b.arrow:
        return a
    order = [pa.int32(), pa.int64(), pa.float32(), pa.float64()]
    if a.arrow in order and b.arrow in order:
        return max(a, b, key=lambda one: order.index(one.arrow))
    if {a.kind, b.kind} <= {"bytes", "fixed"}:
        return Type(pa.binary(), "bytes")
    raise ValueError(f"the schema has a union of {a.arrow} and {b.arrow}, which headrace does not tell apart")


def _branch_chooser(members: dict[str, Type]) -> Convert:
    """Puts a union's value under its branch's name, by its Python type; records come as (name, dict)."""

    def choose(value: Any) -> dict[str, Any]:
        if isinstance(value, tuple):
            kind, value = str(value[0]).rpartition(".")[2], value[1]
        else:
            kind = next((name for name in _PYTHON_KINDS.get(type(value).__name__, ()) if name in members), "")
        member = members.get(kind)
        if member is None:
            raise ValueError(f"a union of {', '.join(members)} has a {type(value).__name__}")
        return {kind: value if member.convert is None else member.convert(value)}

    return choose


_PYTHON_KINDS = {
    "bool": ("boolean",),
    "int": ("long", "double", "timestamp", "local"),
    "float": ("double",),
    "str": ("string",),
    "UUID": ("string",),
    "bytes": ("bytes", "duration"),
    "Decimal": ("decimal",),
    "date": ("date",),
    "time": ("time",),
    "datetime": ("timestamp", "local"),
    "list": ("array",),
    "dict": ("map",),
}


def _duration(value: bytes) -> dict[str, int]:
    return {
        key: int.from_bytes(value[4 * i : 4 * i + 4], "little")
        for i, key in enumerate(("months", "days", "milliseconds"))
    }


def _uuid_of(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)
