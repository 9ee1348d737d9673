"""Random nested Arrow tables that evolve from yield to yield and from load to load, for comparing with dlt's JSON path.

The type of a scalar goes by the last part of its name, so that members which come to have one name have one type: what dlt
does with other types (variants) is not what it does with Arrow.
"""

import datetime
import random
import zlib
from decimal import Decimal
from typing import Any

import pyarrow as pa
from dlt.common.normalizers.naming.snake_case import NamingConvention

KEYS = [
    "Name", "name", "camelCase", "HTTPResponse", "a b", "a.b", "a__b", "a", "b", "x-y", "é", "日本", "1st", "_x_", "tags",
    "items", "deep", "user", "créé_le", "A", "long" * 20, "a___b", "+1", "created_at", "ü__ä", " ", "Tags",
]  # fmt: skip
PLAIN = [pa.int64(), pa.float64(), pa.string(), pa.bool_()]
TYPED = [
    *PLAIN, pa.timestamp("us", "UTC"), pa.date32(), pa.binary(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()),
    pa.large_binary(), pa.string_view(), pa.decimal128(38, 9), pa.null(), pa.uuid(),
]  # fmt: skip
_NAMING = NamingConvention()


class Generator:
    """Tables of one seed."""

    def __init__(self, seed: int, types: list[pa.DataType], keys: list[str]) -> None:
        self.rng = random.Random(seed)
        self.keys = keys
        self.types = types
        self.salt = self.rng.randrange(1 << 30)

    def scalar_type(self, key: str) -> pa.DataType:
        """The type of scalars under a key."""
        last = _NAMING.normalize_path(key).split("__")[-1] if key.strip() else ""
        return self.types[zlib.crc32(f"{last} {self.salt}".encode()) % len(self.types)]

    def data_type(self, key: str, depth: int) -> pa.DataType:
        """Any type; containers get rarer with depth."""
        rng = self.rng
        kind = rng.random()
        if depth <= 0 or kind < 0.45:
            return self.scalar_type(key)
        if kind < 0.7:
            return self.struct_type(depth - 1)
        if not key.strip():
            return self.scalar_type(key)
        element = pa.field("item", self.data_type(key, depth - 1))
        list_kind = rng.randrange(5)
        if list_kind == 0:
            return pa.large_list(element)
        if list_kind == 1:
            return pa.list_(element, rng.randrange(1, 3))
        if list_kind == 2:
            return pa.list_view(element)
        return pa.list_(element)

    def struct_type(self, depth: int) -> pa.StructType:
        """An object's."""
        keys = self.rng.sample(self.keys, self.rng.randrange(1, 6))
        return pa.struct([pa.field(key, self.data_type(key, depth)) for key in keys])

    def value(self, kind: pa.DataType, nulls: float, full: bool = False) -> Any:
        """A value of the type as Python object. full: no null, no empty list inside."""
        rng = self.rng
        if pa.types.is_null(kind) or (not full and rng.random() < nulls):
            return None
        if pa.types.is_struct(kind):
            return {field.name: self.value(field.type, nulls, full) for field in kind}
        if pa.types.is_fixed_size_list(kind):
            return [self.value(kind.value_type, nulls, full) for _ in range(kind.list_size)]
        if isinstance(kind, (pa.ListType, pa.LargeListType, pa.ListViewType)):
            n = rng.randrange(1 if full else 0, 4)
            return [self.value(kind.value_type, nulls, full) for _ in range(n)]
        return self.scalar(kind)

    def scalar(self, kind: pa.DataType) -> Any:
        """A value that is no container."""
        rng = self.rng
        if isinstance(kind, pa.BaseExtensionType):
            return rng.randbytes(16)
        if pa.types.is_integer(kind):
            return rng.choice([0, 1, -1, 2**53 + 1, -(2**63), 2**63 - 1, rng.randrange(10**6)])
        if pa.types.is_floating(kind):
            return rng.choice([0.5, 1.0, -2.25, 1e300, 1e-7, rng.random()])
        if pa.types.is_boolean(kind):
            return rng.random() < 0.5
        if pa.types.is_timestamp(kind):
            moment = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
            return moment + datetime.timedelta(microseconds=rng.randrange(10**15))
        if pa.types.is_date(kind):
            return datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(1000))
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return rng.randbytes(rng.randrange(1, 5))
        if pa.types.is_decimal(kind):
            return Decimal(rng.randrange(-(10**15), 10**15)).scaleb(-rng.randrange(10))
        return rng.choice(["x", "héllo", 'quo"te', "12", "tab\t", "emoji 🎉", "y" * rng.randrange(1, 40), "no"])


def array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The values as an array of the type (dictionaries are not built from Python inside other types)."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, array(values, kind.storage_type))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    if pa.types.is_struct(kind):
        children = [array([None if v is None else v[f.name] for v in values], f.type) for f in kind]
        mask = pa.array([v is None for v in values], pa.bool_())
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)
    if pa.types.is_fixed_size_list(kind):
        filler = [None] * kind.list_size
        inner = array([x for v in values for x in (filler if v is None else v)], kind.value_type)
        mask = pa.array([v is None for v in values], pa.bool_())
        return pa.FixedSizeListArray.from_arrays(inner, type=kind, mask=mask)
    if isinstance(kind, (pa.ListType, pa.LargeListType, pa.ListViewType)):
        inner = array([x for v in values if v is not None for x in v], kind.value_type)
        sizes = [0 if v is None else len(v) for v in values]
        ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        mask = pa.array([v is None for v in values], pa.bool_())
        if isinstance(kind, pa.ListViewType):
            starts, counts = pa.array(ends[:-1], pa.int32()), pa.array(sizes, pa.int32())
            return pa.ListViewArray.from_arrays(starts, counts, inner, type=kind, mask=mask)
        offsets = pa.array(ends, pa.int64() if isinstance(kind, pa.LargeListType) else pa.int32())
        return type_of(kind).from_arrays(offsets, inner, type=kind, mask=mask)
    return pa.array(values, kind)


def type_of(kind: pa.DataType) -> Any:
    """The class of arrays of a list type."""
    return pa.LargeListArray if isinstance(kind, pa.LargeListType) else pa.ListArray


def table_of(kind: pa.StructType, records: list[dict[str, Any]], rng: random.Random) -> pa.Table:
    """The records as a table: in one chunk or several, maybe cut out of a longer one."""
    if rng.random() < 0.5:
        before, after = rng.randrange(3), rng.randrange(3)
        padded = [records[0]] * before + records + [records[-1]] * after
        return whole(kind, padded).slice(before, len(records))
    cut = rng.randrange(len(records) + 1)
    pieces = [piece for piece in (records[:cut], records[cut:]) if piece]
    return pa.concat_tables([whole(kind, piece) for piece in pieces])


def whole(kind: pa.StructType, records: list[dict[str, Any]]) -> pa.Table:
    """A table of one chunk."""
    arrays = [array([record[field.name] for record in records], field.type) for field in kind]
    return pa.Table.from_arrays(
        arrays, schema=pa.schema([pa.field(f.name, a.type) for f, a in zip(kind, arrays, strict=True)])
    )


def loads(
    seed: int,
    types: list[pa.DataType] = TYPED,
    n_loads: int = 2,
    n_rows: int = 12,
    own_ids: bool = False,
    depth: int = 3,
    keys: list[str] = KEYS,
) -> list[list[pa.Table]]:
    """For each load the tables that are yielded; the first record of each has all columns."""
    generator = Generator(seed, types, keys)
    rng = generator.rng
    nulls = rng.choice([0, 0.2, 0.6])
    kind = generator.struct_type(depth)
    out, number = [], 0
    for _ in range(n_loads):
        tables = []
        for _ in range(2):
            fields = [pa.field("id", pa.int64()), *kind]
            if own_ids:
                fields.append(pa.field("_dlt_id", pa.string()))
            row_type = pa.struct(fields)
            records = []
            for k in range(n_rows):
                record = {"id": number, **(generator.value(kind, nulls, k == 0) or dict.fromkeys(f.name for f in kind))}
                if own_ids:
                    record["_dlt_id"] = f"row {number}"
                records.append(record)
                number += 1
            tables.append(table_of(row_type, records, rng))
            if rng.random() < 0.5:  # the next ones have more
                key = rng.choice(keys)
                if key not in [f.name for f in kind]:
                    kind = pa.struct([*kind, pa.field(key, generator.data_type(key, depth))])
        number = rng.choice([number, n_rows])  # the next load may have rows of this one again
        out.append(tables)
    return out
