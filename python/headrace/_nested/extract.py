"""Nested Arrow tables on their way from a resource into the load package: the root as dlt extracts any Arrow table, child
tables as Parquet files beside it (dlt-semantics 2.6).

    dlt's extract step -> NestedArrowExtractor.write_items -> flat root -> dlt's ArrowExtractor (hints, contracts, file)
                                                            -> lists of the rows that dlt kept -> child tables' files

A table is worked on in slices of `[headrace] batch_bytes`, the elements of its lists in windows of as many rows: what is
held does not grow with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from dlt.common import logger
from dlt.common.libs import pyarrow as dlt_pyarrow
from dlt.common.normalizers.json import helpers, relational
from dlt.common.normalizers.utils import DLT_ID_LENGTH_BYTES
from dlt.common.schema import Schema
from dlt.common.schema.typing import TPartialTableSchema
from dlt.extract import extractors
from dlt.extract.extractors import ArrowExtractor, Extractor, ImportFileMeta
from dlt.extract.hints import HintsMeta
from dlt.extract.items import TableNameMeta
from dlt.extract.resource import DltResource

from headrace import _schema
from headrace._nested import ids as _nested_ids
from headrace._nested.arrow import is_kept, is_marked, is_set
from headrace._nested.files import ChildFiles
from headrace._nested.schema import Columns, keep_types, table_of
from headrace._nested.tables import (
    Column,
    Field,
    Names,
    Path,
    elements,
    fields_of,
    flatten,
    is_nested,
    members_of,
    row_numbers,
    take_rows,
)
from headrace.config import setting
from headrace.exceptions import ResourceFailed

_ID_BYTES = 10
_ROW_BYTES = 64  # of a child row's ids and links, about
_ROW_NUMBER = "headrace row number"  # no name that a column can have


class _Plan(NamedTuple):
    """What holds for a root table, by its hints and the schema."""

    table: str
    schema: Schema  # a copy in which the table stands with its hints
    max_nesting: int
    id_kind: str


class _Parents(NamedTuple):
    """Rows whose lists are worked on."""

    table: str
    path: Path  # the table's, of its parts
    level: int  # nesting that is left (rule 21)
    ids: pa.Array
    extend: dict[str, Column]  # what their children get of them and of their parents (rule 44)


class NestedArrowExtractor(ArrowExtractor):
    """dlt's extractor of Arrow tables, which makes relational tables of nested ones where that is asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_set = is_set()
        self._max_bytes = setting("batch_bytes")
        self._max_rows = max(self._max_bytes // _ROW_BYTES, 1)
        self._columns = Columns(self.schema, self._caps)
        self._names = Names(self.schema)
        self._plans: dict[str, _Plan] = {}
        self._files: ChildFiles | None = None
        self._refused: set[str] = set()
        # of the root's rows that are being written
        self._plan: _Plan | None = None
        self._unfit: set[str] = set()  # columns whose type is a contract's to decide
        self._kept: pa.Array | None = None  # numbers of the rows that contracts left in; None: all
        self._is_written = False

    def write_items(self, resource: DltResource, items: Any, meta: Any) -> None:
        """Writes Arrow tables to the resource's table, nested ones with their child tables."""
        tables = [_as_table(item) for item in (items if isinstance(items, list) else [items])]
        if isinstance(meta, ImportFileMeta) or not self._is_wanted(resource, tables, meta):
            super().write_items(resource, items, meta)
            return
        if isinstance(meta, HintsMeta) and meta.hints:  # as dlt does, but once for all slices
            resource.merge_hints(meta.hints, meta.create_table_variant)
            meta = TableNameMeta(str(meta.hints["table_name"])) if meta.create_table_variant else None
            self._reset_contracts_cache()
            self._plans.clear()
        for table in tables:
            plan = self._planned(resource, table, meta)
            for piece in _slices(table, self._max_bytes):
                self._write_root(plan, resource, piece, meta)

    # ---- what is nested

    def _is_wanted(self, resource: DltResource, tables: list[pa.Table], meta: Any) -> bool:
        if tables and all(map(is_kept, tables)):
            return False
        marked = is_marked(resource)
        if not marked and not (self._is_set and self._has_nested(resource, tables, meta)):
            return False
        why = self._unsupported()
        if why is None:
            return True
        if marked:
            raise ResourceFailed(f"normalize: resource `{resource.name}`: nested Arrow cannot become tables: {why}")
        if resource.name not in self._refused:
            self._refused.add(resource.name)
            logger.warning(f"headrace: nested Arrow of `{resource.name}` takes dlt's path: {why}")
        return False

    def _has_nested(self, resource: DltResource, tables: list[pa.Table], meta: Any) -> bool:
        """Whether there are nested columns, or were: later tables of a resource get ids too."""
        if any(is_nested(kind) for table in tables for kind in table.schema.types):
            return True
        if any(self._columns.names.id in table.schema.names for table in tables):
            return False  # the root of a chain that others make
        names = {self._table_of(resource, table, meta) for table in tables}
        known = self.schema.tables
        return any(
            name in self._plans or (name in known and len(_schema.chain_of(self.schema, name)) > 1) for name in names
        )

    def _unsupported(self) -> str | None:
        if not isinstance(self.schema.data_item_normalizer, relational.DataItemNormalizer):
            return "the schema's JSON normalizer is not dlt's relational one"
        if self._normalize_config.add_dlt_id:
            return "[normalize.parquet_normalizer] add_dlt_id gives every Arrow table other ids: switch it off"
        if DLT_ID_LENGTH_BYTES != _ID_BYTES:
            return "DLT_DLT_ID_LENGTH_BYTES is set"
        return None

    def _table_of(self, resource: DltResource, table: pa.Table, meta: Any) -> str:
        if resource.has_dynamic_table_name:
            return str(self._get_dynamic_table_name(resource, table))
        return str(self._get_static_table_name(resource, meta))

    def _planned(self, resource: DltResource, table: pa.Table, meta: Any) -> _Plan:
        name = self._table_of(resource, table, meta)
        plan = self._plans.get(name)
        if plan is None or resource.has_other_dynamic_hints:
            if plan is None:
                logger.info(f"headrace: nested Arrow of `{resource.name}` becomes `{name}` and its child tables")
            table_meta = TableNameMeta(name) if resource.has_dynamic_table_name else meta
            schema = self.schema.clone()
            for hinted in Extractor._compute_tables(self, resource, table, table_meta):
                schema.update_table(hinted, normalize_identifiers=False, merge_compound_props=False)
            options = _schema.normalizer_options(schema, name)
            plan = self._plans[name] = _Plan(name, schema, options["max_nesting"], options["id_kind"])
        return plan

    # ---- the root

    def _write_root(self, plan: _Plan, resource: DltResource, table: pa.Table, meta: Any) -> None:
        """A slice of a nested table: its root through dlt, then what hangs on the rows that dlt kept."""
        names = self._columns.names
        fields = fields_of(table)
        rows = flatten(fields, table.num_rows, plan.max_nesting, self._names, _is_json(plan.schema, plan.table))
        columns = rows.columns
        ids = self._root_ids(plan.schema, plan.table, plan.id_kind, columns, fields, table.num_rows)
        known = {**plan.schema.tables[plan.table]["columns"], **self._known(plan.table)}
        self._unfit = self._columns.fit(plan.table, columns, known, self._has_type_contract(plan.schema, plan.table))
        columns[names.load_id] = Column(pa.repeat(self.load_id, table.num_rows), False)
        columns[names.id] = Column(ids, False)
        self._plan, self._kept, self._is_written = plan, None, False
        try:
            super().write_items(resource, table_of(columns), meta)
        finally:
            self._plan = None
        if self._is_written and rows.lists:
            parents = _Parents(
                plan.table, (plan.table,), plan.max_nesting, ids, self._propagated(plan.table, columns, True)
            )
            self._write_lists(*_take(rows.lists, parents, self._kept))

    def _root_ids(
        self, schema: Schema, table: str, kind: str, columns: dict[str, Column], fields: list[Field], n_rows: int
    ) -> pa.Array:
        """The ids of rows without a parent (rule 41)."""
        records = {field.key: field.array for field in fields}
        if kind == "key_hash":
            keys = helpers.get_primary_key(schema, table)
            missing = [key for key in keys if key not in columns]
            if missing:
                raise ResourceFailed(
                    f"normalize: table `{table}`: primary key column `{missing[0]}` is not in the data"
                )
            made = _nested_ids.row_hashes({key: columns[key].array for key in keys}, n_rows)
        elif kind == "row_hash":
            made = _nested_ids.row_hashes({key: array for key, array in records.items() if key[:4] != "_dlt"}, n_rows)
        else:
            made = _nested_ids.random_ids(n_rows)
        own = columns.get(self._columns.names.id)
        return _nested_ids.with_own(None if own is None else own.array, made)

    def _known(self, table: str) -> dict[str, Any]:
        return self.schema.get_table_columns(table, include_incomplete=True) if table in self.schema.tables else {}

    def _has_type_contract(self, schema: Schema, table: str) -> bool:
        return bool(schema.resolve_contract_settings_for_table(table)["data_type"] != "evolve")

    def _compute_tables(self, resource: DltResource, items: Any, meta: Any) -> list[TPartialTableSchema]:
        tables: list[TPartialTableSchema] = super()._compute_tables(resource, items, meta)
        plan = self._plan
        if plan is None:
            return tables
        item = items[0] if isinstance(items, list) else items
        hinted = {str(table["name"]): table for table in Extractor._compute_tables(self, resource, item, meta)}
        root, names = tables[0], self._columns.names
        keep_types(root["columns"], self._known(plan.table), self._unfit)
        for name in (names.load_id, names.id):
            root["columns"][name] = self._columns.system(hinted[plan.table], name)
        # dlt gives the root's Arrow columns to nested tables too: they have what is hinted
        return [root, *(hinted[str(table["name"])] for table in tables[1:])]

    def _apply_contract_filters(self, item: Any, resource: DltResource, static_table_name: str | None) -> Any:
        if self._plan is None or not self._filtered_columns.get(self._plan.table):
            return super()._apply_contract_filters(item, resource, static_table_name)
        numbered = item.append_column(_ROW_NUMBER, row_numbers(0, item.num_rows))
        filtered = super()._apply_contract_filters(numbered, resource, static_table_name)
        kept = pa.concat_arrays(filtered.column(_ROW_NUMBER).chunks or [pa.nulls(0, pa.int64())])
        self._kept = kept if self._kept is None else self._kept.take(kept)
        return filtered.drop_columns([_ROW_NUMBER])

    def _write_item(self, table_name: str, resource_name: str, items: Any, columns: Any = None) -> None:
        super()._write_item(table_name, resource_name, items, columns)
        self._is_written = True
        if hasattr(self, "tables_with_items"):  # an empty Arrow table counts: dlt says so for its own class only
            self.tables_with_items.add(table_name)
        else:
            vars(self)["resources_with_items"].add(resource_name)

    # ---- child tables

    def _write_lists(self, lists: dict[Path, list[pa.Array]], parents: _Parents) -> None:
        """The child tables of rows: list by list, depth first."""
        for path, arrays in lists.items():
            if not path[-1]:
                raise ResourceFailed(
                    f"normalize: table `{parents.table}`: a list under a blank key: name it in the source"
                )
            table = self._names.table_at(parents.path + path)
            for array in arrays:
                for values, numbers, places in elements(array).windows(self._max_rows):
                    self._write_children(table, parents.path + path, values, parents, numbers, places)

    def _write_children(
        self, table: str, path: Path, values: pa.Array, parents: _Parents, numbers: pa.Array, places: pa.Array
    ) -> None:
        """Elements of lists as rows of a child table, then what hangs on those that are kept."""
        members, are_lists, values = members_of(values)
        level = parents.level - 1 - are_lists
        rows = flatten(members, len(values), level, self._names, _is_json(self.schema, table))
        columns = rows.columns
        is_root = not helpers.should_be_nested(self.schema, table)
        parent = None if is_root else parents.table
        extend = {name: Column(column.array.take(numbers), column.nullable) for name, column in parents.extend.items()}
        if is_root:
            kind = helpers.get_root_row_id_type(self.schema, table)
            ids = self._root_ids(self.schema, table, kind, columns, members, len(values))
        unfit = self._columns.fit(
            table,
            columns,
            self._known(table),
            self._has_type_contract(self.schema, table if self._known(table) else parents.table),
        )
        columns.update(extend)
        if is_root:
            columns[self._columns.names.load_id] = Column(pa.repeat(self.load_id, len(values)), False)
        else:
            ids = self._link(table, columns, parents.ids.take(numbers), places)
        columns[self._columns.names.id] = Column(ids, False)
        wanted, kept = self._columns.accept(table, parent, columns, unfit)
        if not wanted:
            return
        self._write_child_rows(table, table_of(columns), kept)
        if rows.lists:
            below = {**extend, **self._propagated(table, columns, is_root)}
            self._write_lists(*_take(rows.lists, _Parents(table, path, level, ids, below), kept))

    def _link(self, table: str, columns: dict[str, Column], parent_ids: pa.Array, places: pa.Array) -> pa.Array:
        """Adds what links child rows to their parents. Returns their ids (rules 42, 43)."""
        names = self._columns.names
        own = columns.get(names.id)
        columns[names.parent_id] = Column(parent_ids, False)
        columns[names.list_idx] = Column(places, False)
        made = _nested_ids.nested_ids(table, parent_ids, places)
        return _nested_ids.with_own(None if own is None else own.array, made)

    def _write_child_rows(self, name: str, table: pa.Table, kept: pa.Array | None) -> None:
        if self._files is None:
            self._files = ChildFiles(self._max_bytes)
            self._files.close_with(self.item_storage)
        columns = self.schema.get_table_columns(name)
        table = self._files.complete(name, table if kept is None else table.take(kept), columns)
        self._files.write(name, dlt_pyarrow.normalize_py_arrow_item(table, columns, self.schema.naming, self._caps))

    def _propagated(self, table: str, columns: dict[str, Column], is_root: bool) -> dict[str, Column]:
        """What children get of these rows under other names."""
        config = (self.schema._normalizers_config["json"].get("config") or {}).get("propagation")
        mapping = helpers.get_propagation_mapping(config, table, is_root) if config else {}
        return {str(to): columns[name] for name, to in mapping.items() if name in columns}


def _is_json(schema: Schema, table: str) -> Callable[[str, int], bool]:
    """Whether a column keeps its nested value (rule 20)."""
    return lambda name, level: bool(helpers.is_nested_type(schema, table, name, level))


def _take(
    lists: dict[Path, list[pa.Array]], parents: _Parents, kept: pa.Array | None
) -> tuple[dict[Path, list[pa.Array]], _Parents]:
    """Only the rows of these numbers."""
    if kept is None:
        return lists, parents
    extend = {name: Column(column.array.take(kept), column.nullable) for name, column in parents.extend.items()}
    taken = {path: [take_rows(array, kept) for array in arrays] for path, arrays in lists.items()}
    return taken, parents._replace(ids=parents.ids.take(kept), extend=extend)


def _as_table(item: Any) -> pa.Table:
    """An Arrow table of what dlt takes for one: tables, record batches, pandas and polars frames."""
    if isinstance(item, pa.Table):
        return item
    if isinstance(item, pa.RecordBatch):
        return pa.Table.from_batches([item])
    if hasattr(extractors, "_to_arrow_table"):
        return extractors._to_arrow_table(item)
    from dlt.common.libs.pandas import pandas_to_arrow

    return pandas_to_arrow(item)


def _slices(table: pa.Table, max_bytes: int) -> Iterator[pa.Table]:
    """The table in slices of about so many bytes."""
    n_rows = max(table.num_rows * max_bytes // max(table.nbytes, 1), 1)
    for first in range(0, max(table.num_rows, 1), n_rows):
        yield table.slice(first, n_rows)
