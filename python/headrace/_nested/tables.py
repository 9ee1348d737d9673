"""Nested Arrow values as the columns and lists of flat rows: dlt's flattening (dlt-semantics rules 15 to 25) over whole
arrays. No object a record, no value changed: what is no struct and no list stays the array it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.libs.pyarrow import NameNormalizationCollision, uuid_to_string
from dlt.common.normalizers.json import helpers
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema

from headrace import _core

EMPTY_KEY = "_empty"  # dlt's name of a blank key
_INT64 = pa.int64()

Path = tuple[str, ...]


class Column(NamedTuple):
    """A column of rows that are being made."""

    array: pa.Array
    nullable: bool


class Rows(NamedTuple):
    """Flat rows and the lists that hang on them, by path: each list array has a list (or null) a row."""

    columns: dict[str, Column]
    lists: dict[Path, list[pa.Array]]


class Field(NamedTuple):
    """A member of the records that are flattened."""

    key: str
    array: pa.Array
    nullable: bool


class Names:
    """A schema's names of keys, paths and tables."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._naming: NamingConvention = schema.naming
        self._columns: dict[str, str] = {}
        self._paths: dict[Path, str] = {}

    def column(self, key: str) -> str:
        """The part that a key gives to column names."""
        name = self._columns.get(key)
        if name is None:
            blank = not key or key.isspace()
            name = EMPTY_KEY if blank else helpers.normalize_identifier(self._schema, self._naming, key)
            self._columns[key] = name
        return name

    def table(self, key: str) -> str:
        """The part that a key gives to names of child tables; may be blank."""
        return helpers.normalize_table_identifier(self._schema, self._naming, key)

    def join(self, path: Path) -> str:
        """The column at a path. dlt normalizes names of Arrow columns once more: the name is one that this does not change."""
        name = self._paths.get(path)
        if name is None:
            name = path[0] if len(path) == 1 else helpers.shorten_fragments(self._naming, *path)
            name = self._naming.normalize_path(name) or name
            self._paths[path] = name
        return name

    def table_at(self, path: Path) -> str:
        """The table at a path of its parts."""
        return helpers.shorten_fragments(self._naming, *path)


def is_list(data_type: pa.DataType) -> bool:
    """Whether values of the type become rows of a child table."""
    types = pa.types
    return bool(
        types.is_list(data_type)
        or types.is_large_list(data_type)
        or types.is_fixed_size_list(data_type)
        or types.is_map(data_type)
        or (hasattr(types, "is_list_view") and (types.is_list_view(data_type) or types.is_large_list_view(data_type)))
    )


def is_nested(data_type: pa.DataType) -> bool:
    """Whether columns of the type become more than one column, or rows of a child table."""
    while True:
        if isinstance(data_type, pa.BaseExtensionType):
            data_type = data_type.storage_type
        elif pa.types.is_dictionary(data_type) or pa.types.is_run_end_encoded(data_type):
            data_type = data_type.value_type
        else:
            return bool(pa.types.is_struct(data_type)) or is_list(data_type)


def _uuid_texts(array: pa.Array) -> pa.Array:
    """dlt's texts of 16-byte values. With numpy, dlt takes the buffer for as long as the array: parts of arrays get one that is."""
    if array.offset:
        array = array.take(pa.array(range(len(array)), pa.int64()))
    if len(array) == 0:
        return pa.array([], pa.string())
    valid, data = array.buffers()
    return uuid_to_string(
        pa.FixedSizeBinaryArray.from_buffers(array.type, len(array), [valid, data.slice(0, 16 * len(array))])
    )


def plain(array: pa.Array) -> pa.Array:
    """The array without what only says how it is stored: extension types, run ends, views, dictionaries of nested values."""
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            if kind.extension_name == "arrow.uuid":
                return _uuid_texts(array.storage)
            is_bool = kind.extension_name == "arrow.bool8"
            array = array.storage
            if is_bool:
                return pc.not_equal(array, pa.scalar(0, array.type))
        elif pa.types.is_run_end_encoded(kind):
            array = pc.run_end_decode(array)
        elif pa.types.is_dictionary(kind) and is_nested(kind.value_type):
            array = array.dictionary.take(array.indices)
        elif _is_view(kind):
            return array.cast(pa.string() if pa.types.is_string_view(kind) else pa.binary())
        else:
            return array


def _is_view(kind: pa.DataType) -> bool:
    types = pa.types
    return hasattr(types, "is_string_view") and bool(types.is_string_view(kind) or types.is_binary_view(kind))


def fields_of(table: pa.Table) -> list[Field]:
    """A table's columns, of one chunk each."""
    return [Field(field.name, one_chunk(table.column(i)), field.nullable) for i, field in enumerate(table.schema)]


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def flatten(
    fields: Iterable[Field], n_rows: int, level: int, names: Names, is_json: Callable[[str, int], bool]
) -> Rows:
    """Flattens records as dlt's `_flatten` does.

    Args:
        fields: The records' members, an array of `n_rows` each.
        n_rows: Number of records.
        level: Nesting that is left (rule 21).
        names: Names of columns and tables.
        is_json: Whether a column of this name at this level keeps its nested value (rule 20).

    Raises:
        NameNormalizationCollision: Two members of different types have one name.
    """
    columns: dict[str, list[_Entry]] = {}
    lists: dict[Path, list[pa.Array]] = {}
    stack: list[tuple[Iterable[Field], int, Path, pa.Array | None]] = [(fields, level, (), None)]
    while stack:
        members, level, path, present = stack.pop()
        for key, stored, nullable in members:
            part = names.column(key)
            name = names.join((*path, part))
            array = plain(stored)
            if pa.types.is_struct(array.type) and not is_json(name, level):
                valid = array.is_valid() if array.null_count else present
                stack.append((_members(array, nullable), level - 1, (*path, part), valid))
            elif is_list(array.type) and not is_json(name, level):
                lists.setdefault((*path, names.table(key)), []).append(array)
            else:
                column = None if pa.types.is_null(array.type) else Column(array, nullable)
                columns.setdefault(name, []).append(_Entry(present, column))
                continue
            if array.null_count:
                is_null = array.is_null() if present is None else pc.and_(array.is_null(), present)
                columns.setdefault(name, []).append(_Entry(is_null, None))
    merged = ((name, _merge(name, entries, n_rows)) for name, entries in columns.items())
    return Rows({name: column for name, column in merged if column is not None}, _merge_lists(lists, n_rows))


class _Entry(NamedTuple):
    """What one member gives to a column: in the rows where `present` holds (None: all), the value or null."""

    present: pa.Array | None
    column: Column | None


def _members(array: pa.Array, nullable: bool) -> list[Field]:
    kind = array.type
    return [
        Field(kind.field(i).name, child, nullable or kind.field(i).nullable) for i, child in enumerate(array.flatten())
    ]


def _merge(name: str, entries: list[_Entry], n_rows: int) -> Column | None:
    """One column of all members with its name: as in a dict, the later member's value where it is present (rule 17)."""
    merged: Column | None = None
    for present, column in entries:
        if merged is None or column is None:
            if merged is not None:
                merged = Column(_overlay(merged.array, pa.nulls(n_rows, merged.array.type), present), True)
            else:
                merged = column
        elif column.array.type != merged.array.type:
            raise NameNormalizationCollision(
                f"Members of Arrow columns have the same name `{name}` but types {merged.array.type} and"
                f" {column.array.type}: rename one in the source"
            )
        else:
            array = column.array if present is None else _overlay(merged.array, column.array, present)
            merged = Column(array, merged.nullable or column.nullable)
    return merged


def _overlay(under: pa.Array, over: pa.Array, where: pa.Array | None) -> pa.Array:
    """`over` where `where` holds, else `under`: for any type."""
    if where is None:
        return over
    rows = _range(0, len(under))
    index = pc.if_else(where, pc.add(rows, pa.scalar(len(under), _INT64)), rows)
    return take_rows(pa.concat_arrays([under, over]), index)


def take_rows(array: pa.Array, rows: pa.Array) -> pa.Array:
    """The rows of these numbers (null: null), of an array of any type."""
    try:
        return array.take(rows)
    except pa.ArrowNotImplementedError:  # Arrow cannot for lists of extension types
        slices = [pa.nulls(1, array.type) if row is None else array.slice(row, 1) for row in rows.to_pylist()]
        return pa.concat_arrays(slices) if slices else array.slice(0, 0)


def _merge_lists(lists: dict[Path, list[pa.Array]], n_rows: int) -> dict[Path, list[pa.Array]]:
    """Of several lists at one path, a row has the last that is no null."""
    for arrays in lists.values():
        for i in range(len(arrays) - 1):
            later = pc.is_valid(arrays[i + 1])
            for other in arrays[i + 2 :]:
                later = pc.or_(later, pc.is_valid(other))
            rows = pc.if_else(later, pa.scalar(None, _INT64), _range(0, n_rows))
            arrays[i] = take_rows(arrays[i], rows)
    return lists


def _range(first: int, stop: int) -> pa.Array:
    """The numbers [first, stop)."""
    return pa.arange(first, stop) if hasattr(pa, "arange") else pa.array(range(first, stop), _INT64)


row_numbers = _range


class Elements(NamedTuple):
    """What the lists of a column hold, one after another."""

    values: pa.Array
    offsets: pa.Array  # int64, one more than lists

    def windows(self, n_rows: int) -> Iterator[tuple[pa.Array, pa.Array, pa.Array]]:
        """In pieces of at most `n_rows`: the elements, the numbers of the rows whose lists have them, their places there."""
        offsets = self.offsets.buffers()[1]
        for first in range(0, len(self.values), n_rows):
            stop = min(first + n_rows, len(self.values))
            parents, places = _core.nested_rows(offsets, first, stop)
            yield self.values.slice(first, stop - first), int64_array(parents), int64_array(places)


def int64_array(data: bytes) -> pa.Array:
    """An array without nulls over the bytes."""
    return pa.Array.from_buffers(_INT64, len(data) // 8, [None, pa.py_buffer(data)])


def elements(array: pa.Array) -> Elements:
    """The elements of a list column; those that lie under null lists are none. Maps are lists of key and value."""
    kind = array.type
    if pa.types.is_map(kind):
        members = [kind.key_field.with_name("key"), kind.item_field.with_name("value")]
        array = array.cast(pa.list_(pa.struct(members)))
    try:
        values = array.flatten()
    except pa.ArrowNotImplementedError:  # lists of fixed size of extension types
        held = [scalar.values for scalar in array if scalar.is_valid]
        values = pa.concat_arrays(held) if held else pa.nulls(0, kind.value_type)
    lengths = pc.fill_null(pc.list_value_length(array).cast(_INT64), 0)
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], _INT64), ends])
    if offsets[-1].as_py() != len(values):
        raise ValueError(f"an Arrow array of {kind} has {len(values)} elements, its lists {offsets[-1].as_py()}")
    return Elements(values, offsets)


def members_of(values: pa.Array) -> tuple[list[Field], bool, pa.Array]:
    """How elements of lists become records (rule 24): the members of structs; else `list` of lists, `value` of scalars.

    Returns:
        The members, whether the elements are lists (which stand one level deeper), the plain elements.
    """
    values = plain(values)
    if pa.types.is_struct(values.type):
        return _members(values, True), False, values
    are_lists = is_list(values.type)
    return [Field("list" if are_lists else "value", values, True)], are_lists, values
