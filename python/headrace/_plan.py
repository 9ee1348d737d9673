"""Puts native generators in front of dlt's own in rest_api resources, and decides for each run which one serves.

dlt's generator stays inside: a resource that needs what the engine cannot do yet takes it, with one log line that says why.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import dlt
import pyarrow as pa
import requests
from dlt.common import logger
from dlt.common.configuration import resolve_configuration
from dlt.common.normalizers.json import relational
from dlt.common.normalizers.naming import snake_case
from dlt.common.schema import Schema
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.pipe import Pipe
from dlt.extract.resource import DltResource
from dlt.normalize.configuration import ItemsNormalizerConfiguration
from dlt.sources.helpers.requests.session import Session
from dlt.sources.rest_api.config_setup import (
    _set_incremental_params,
    convert_incremental_values,
    expand_placeholders,
    paginate_dependent_resource,
    process_parent_data_item,
)

from headrace import _core, _schema
from headrace._request import selector_steps
from headrace._run import Chain, Job, Run
from headrace._writer import PackageWriter
from headrace.config import settings

_MARK = "__headrace_plan__"
_DYNAMIC_HINTS = (
    "table_name",
    "parent_table_name",
    "write_disposition",
    "columns",
    "primary_key",
    "merge_key",
    "schema_contract",
)


class _Parents:
    """Records that children need, kept beside the table they left in: by identity, as long as the table lives."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Any, list[Any]]] = {}

    def put(self, table: pa.Table, items: list[Any]) -> None:
        key = id(table)
        self._found[key] = (weakref.ref(table, lambda _: self._found.pop(key, None)), items)

    def get(self, table: pa.Table) -> list[Any] | None:
        found = self._found.get(id(table))
        return found[1] if found is not None and found[0]() is table else None


_parents = _Parents()


class Plan:
    """One rest_api resource: its arguments and dlt's own generator."""

    def __init__(self, resource: DltResource) -> None:
        self.name = resource.name
        self.arguments: dict[str, Any] = dict(resource.explicit_args)
        self.original: Any = resource._pipe.gen
        self.is_dependent = resource._pipe.has_parent

    # ---- which way

    def reason(self, source: Any, resource: DltResource) -> str | None:
        """Why this resource takes dlt's path in this run; None: it is native."""
        return (
            self._reason_settings()
            or self._reason_arguments()
            or self._reason_pipe(source, resource)
            or self._reason_hints(resource)
            or _reason_schema(source.schema)
            or _reason_tables(source.schema, resource)
        )

    def _reason_settings(self) -> str | None:
        if not settings().native:
            return "[headrace] native = false"
        parquet = resolve_configuration(ItemsNormalizerConfiguration(), sections=("normalize", "parquet_normalizer"))
        if parquet.add_dlt_load_id or parquet.add_dlt_id:
            return "[normalize.parquet_normalizer] adds columns of its own"
        return None

    def _reason_arguments(self) -> str | None:
        if (incremental := self.arguments.get("incremental_object")) and (
            why := "an incremental on a dependent resource" if self.is_dependent else _reason_incremental(incremental)
        ):
            return why
        client = self.arguments["client"]
        if not isinstance(client.session, Session):
            return "the client has a session of its own"
        selector = self.arguments.get("data_selector") or client.data_selector
        if selector and selector_steps(selector) is None:
            return f"data_selector `{selector}` is more than names, indices and [*]"
        if self.arguments.get("data") is not None and not isinstance(self.arguments["data"], (dict, str, bytes)):
            return "the request's data is a stream"
        return None

    def _reason_pipe(self, source: Any, resource: DltResource) -> str | None:
        for index, step in enumerate(resource._pipe.steps):
            if index == resource._pipe._gen_idx or isinstance(step, IncrementalResourceWrapper):
                continue
            return "it has a processing step in Python (add_map, add_filter, add_limit, processing_steps, validator)"
        for child in source.resources.selected.values():
            if any(_same_pipe(parent, resource._pipe) for parent in _ancestors(child._pipe)[:1]) and (
                plan_of(child._pipe) is None or plan_of(child._pipe).reason(source, child) is not None  # type: ignore[union-attr]
            ):
                return f"`{child.name}` reads its records as Python objects"
        return None

    def _reason_hints(self, resource: DltResource) -> str | None:
        hints: Any = resource._hints
        if resource.has_dynamic_table_name or resource.has_other_dynamic_hints:
            return "its hints depend on the data"
        if resource.validator is not None:
            return "its columns are a pydantic model"
        if hints.get("nested_hints"):
            return "nested_hints are not native yet"
        if not _all_evolve(hints.get("schema_contract")):
            return "a schema contract"
        if any(callable(hints.get(name)) for name in _DYNAMIC_HINTS):
            return "its hints depend on the data"
        if resource._hints_variants:
            return "it has table variants"
        disposition = resource.write_disposition
        if isinstance(disposition, dict) and disposition.get("strategy") == "cdc":
            return "merge strategy cdc"
        return None

    # ---- the native way

    def generate(self) -> Iterator[Any]:
        """The generator of a resource that depends on no other."""
        source, resource = _current(self.name)
        reason = "it is read outside of an extraction" if source is None else self.reason(source, resource)
        if reason is not None:
            _say(self.name, reason)
            yield from self.original()
            return
        with _resolved(self.arguments, resource) as incremental:
            arguments, values = self.arguments, {}
            params = arguments["params"]
            if incremental is not None:
                convert = arguments["incremental_cursor_transform"]
                params = _set_incremental_params(
                    dict(params or {}), incremental, arguments["incremental_param"], convert
                )
                values = {
                    "incremental": incremental,
                    **(convert_incremental_values(incremental, convert) if convert else {}),
                }
            path = expand_placeholders(arguments["path"], values)
            request = {
                "headers": expand_placeholders(arguments["headers"], values),
                "params": expand_placeholders(params, values),
                "json": expand_placeholders(arguments["json"], values, preserve_value_type=True),
                "data": expand_placeholders(arguments["data"], values),
            }
            yield from self._serve(
                source, resource, lambda job: iter([lambda: self._chain(job, path, request, None)]), incremental
            )

    def transform(self, item: Any, meta: Any = None) -> Any:
        """The step of a resource that depends on another: called with each of its parent's items."""
        source, resource = _current(self.name)
        items = _parents.get(item) if isinstance(item, pa.Table) else item
        reason = "it is read outside of an extraction" if source is None else self.reason(source, resource)
        if reason is not None:
            _say(self.name, reason)
            return self.original(items, meta=meta)
        items = items if isinstance(items, list) else [items]
        return self._serve(source, resource, lambda job: (lambda i=i: self._child(job, i) for i in items))  # type: ignore[misc]

    def _child(self, job: Job, item: Any) -> Chain:
        arguments = self.arguments
        processed = process_parent_data_item(
            path=arguments["path"],
            item=item,
            headers=arguments["headers"],
            params=arguments["params"],
            request_json=arguments["json"],
            request_data=arguments["data"],
            resolved_params=arguments["resolved_params"],
            include_from_parent=arguments["include_from_parent"],
        )
        request = {
            "headers": processed.headers,
            "params": processed.params,
            "json": processed.json,
            "data": processed.data,
        }
        extra = json.dumps(processed.parent_record).encode() if processed.parent_record else None
        return self._chain(job, processed.path, request, extra)

    def _chain(self, job: Job, path: str, request: dict[str, Any], extra: bytes | None) -> Chain:
        client = self.arguments["client"]
        own = self.arguments["paginator"]
        paginator = deepcopy(own) if own else deepcopy(client.paginator)
        made: requests.Request = client._create_request(
            path_or_url=path, method=self.arguments["method"], auth=client.auth, **request
        )
        return Chain(job, made, paginator, extra)

    def _serve(
        self,
        source: Any,
        resource: DltResource,
        chains: Callable[[Job], Iterator[Callable[[], Chain]]],
        incremental: Incremental[Any] | None = None,
    ) -> Iterator[Any]:
        schema: Schema = dlt.current.source_schema()
        selected = resource.name in source.resources.selected
        if not selected:  # it only feeds others: its tables must not come to be
            schema = schema.clone()
        load_id = dlt.current.load_package_state()["load_id"]
        caps = _schema.capabilities()
        root = _schema.prepare_root(schema, resource)
        run = Run.join(f"{load_id}/{schema.name}", settings())
        writer = PackageWriter()
        done = False
        try:
            job = Job(
                run,
                name=self.name,
                schema_name=schema.name,
                client=self.arguments["client"],
                data_selector=self.arguments["data_selector"],
                hooks=self.arguments["hooks"],
                stream_options={
                    "table": root,
                    "tables": _schema.seed_tables(schema, root),
                    "load_id": load_id,
                    **_schema.normalizer_options(schema, root),
                },
                parent_keys=self._parent_keys(source, resource),
                incremental=incremental,
            )
            job.start(chains(job))
            yield None  # lets dlt start its other resources before this one waits
            progress = _Progress(self.name, job)
            for batches in job.batches():
                progress.show()
                yield from self._emit(schema, caps, writer if selected else None, job, batches)
            progress.show()
            writer.close()
            done = True
            if job.empty:
                yield []
        finally:
            if not done:
                writer.abort()
            run.leave()

    def _emit(
        self, schema: Schema, caps: Any, writer: PackageWriter | None, job: Job, batches: list[_core.TableBatch]
    ) -> Iterator[Any]:
        """The root's rows to dlt, then the child tables' into their files."""
        for batch in batches:
            _schema.tell(schema, caps, batch)
        tables = [(batch, pa.Table.from_batches([pa.record_batch(batch)])) for batch in batches if batch.n_rows]
        for batch, table in tables:
            if batch.parent is None:
                if job.parent_keys is not False:
                    _parents.put(table, [job.parents.popleft() for _ in range(batch.n_rows)])
                columns = deepcopy(schema.tables[batch.name]["columns"])
                yield table
                # dlt's extractor writes what it reads from the Arrow schema over these; ours are what its JSON path makes
                schema.tables[batch.name]["columns"].update(columns)
        for batch, table in tables:
            if batch.parent is not None and writer is not None:
                writer.write(batch.name, table)

    def _parent_keys(self, source: Any, resource: DltResource) -> list[str] | bool | None:
        """The top-level fields that native children need; None: whole records; False: there are no children."""
        keys: set[str] = set()
        found = False
        for child in source.resources.selected.values():
            for pipe in _ancestors(child._pipe, itself=True):
                plan = plan_of(pipe)
                if plan is None or pipe.parent is None or not _same_pipe(pipe.parent, resource._pipe):
                    continue
                found = True
                keys.update(plan.arguments.get("include_from_parent") or [])
                for param in plan.arguments["resolved_params"]:
                    steps = selector_steps(param.field_path)
                    if not steps or not isinstance(steps[0], str):
                        return None
                    keys.add(steps[0])
        return sorted(keys) if found else False


class _Progress:
    """Requests, pages, bytes and rows in dlt's progress display."""

    def __init__(self, name: str, job: Job) -> None:
        self._name, self._job = name, job
        self._shown = dict.fromkeys(job.counts, 0)
        self._rows = 0
        try:
            self._collector: Any = dlt.current.pipeline().collector
        except Exception:
            self._collector = None

    def show(self) -> None:
        """Tells what was added since the last time."""
        if self._collector is None:
            return
        for key, value in self._job.counts.items():
            if value > self._shown[key]:
                self._collector.update(f"{self._name} {key}", value - self._shown[key])
                self._shown[key] = value
        in_flight = self._job.run.engine.stats()["in_flight"]
        self._collector.update(f"{self._name} in flight", 0, message=str(int(in_flight)))


@contextmanager
def _resolved(arguments: dict[str, Any], resource: DltResource) -> Iterator[Incremental[Any] | None]:
    """The resource's incremental, resolved and bound to its state as `IncrementalResourceWrapper.wrap` does it.

    Meanwhile the wrapper, a step of the pipe, lets our tables through: their rows are filtered before they are normalised.
    """
    given = arguments.get("incremental_object")
    wrapper: Any = resource._pipe.get_by_type(IncrementalResourceWrapper)
    if given is None or wrapper is None:
        yield None
        return
    wrapper.set_incremental(given.copy())
    incremental = wrapper.incremental
    if not incremental.is_resolved():
        incremental.resolve()
    wrapper.bind(resource._pipe)
    if resource.name in dlt.current.source().resources.selected:
        _schema.prepare_root(dlt.current.source_schema(), resource)  # marks the cursor's column
    wrapper._incremental = None
    try:
        yield incremental
    finally:
        wrapper._incremental = incremental


# ---------------------------------------------------------------------------------------------------- looking around


def _reason_incremental(incremental: Incremental[Any]) -> str | None:
    """What of an incremental the native way does not do."""
    steps = selector_steps(incremental.cursor_path)
    if steps is None or len(steps) != 1 or not isinstance(steps[0], str):
        return f"the incremental cursor `{incremental.cursor_path}` is not a top-level field"
    if incremental.row_order is not None:
        return "an incremental with row_order"
    if incremental.last_value_func not in (max, min):
        return "an incremental with a last_value_func of its own"
    if callable(incremental.primary_key):
        return "an incremental whose key depends on the data"
    return None


def _ancestors(pipe: Pipe, itself: bool = False) -> list[Pipe]:
    out = [pipe] if itself else []
    while pipe.parent is not None:
        pipe = pipe.parent
        out.append(pipe)
    return out


def _same_pipe(a: Pipe, b: Pipe) -> bool:
    return a.name == b.name and a.has_parent == b.has_parent


def plan_of(pipe: Pipe) -> Plan | None:
    """The plan behind a pipe's generator, if it is ours."""
    return getattr(pipe.gen, _MARK, None)


def _current(name: str) -> tuple[Any, Any]:
    """The source being extracted and its resource of this name; (None, None) outside of an extraction."""
    try:
        source = dlt.current.source()
        dlt.current.load_package_state()
        resource = source.resources[name]
        dlt.current.source_schema()
    except Exception:
        return None, None
    return source, resource


def _reason_schema(schema: Schema) -> str | None:
    """What in the schema's settings the engine does not do."""
    if type(schema.naming).__module__ != snake_case.__name__:
        return f"naming convention {type(schema.naming).__module__}"
    config = schema._normalizers_config
    if config["json"]["module"] != relational.__name__:
        return f"JSON normalizer {config['json']['module']}"
    if config.get("use_break_path_on_normalize") is False:
        return "use_break_path_on_normalize is off"
    propagation = (config["json"].get("config") or {}).get("propagation") or {}
    if propagation.get("root") or any(
        mapping != {"_dlt_id": "_dlt_root_id"} for mapping in (propagation.get("tables") or {}).values()
    ):
        return "the normalizer propagates columns of its own"
    own = schema.settings
    if list(own.get("detections") or []) != ["iso_timestamp"]:
        return "type detections other than iso_timestamp"
    if own.get("preferred_types"):
        return "preferred types"
    if own.get("schema_contract") not in (None, "evolve", {}) and not _all_evolve(own["schema_contract"]):
        return "a schema contract"
    own_hints = {"not_null", "parent_key", "root_key", "unique", "row_key"}
    if set(own.get("default_hints") or {}) - own_hints:
        return "default hints of its own"
    for table in schema.tables.values():
        if table.get("filters"):
            return "row filters"
        if not _all_evolve(table.get("schema_contract")) and not str(table["name"]).startswith("_dlt"):
            return "a schema contract"
    caps = _schema.capabilities()
    if caps.supports_tz_aware_datetime is False or caps.supports_naive_datetime is False:
        return "the destination's timestamps"
    return None


def _reason_tables(schema: Schema, resource: DltResource) -> str | None:
    """What in the hinted or stored columns the engine does not write."""
    hinted = resource.compute_table_schema()
    root = _schema.table_name(schema, hinted)
    tables = [hinted, *(_schema.chain_of(schema, root) if root in schema.tables else [])]
    found = (_schema.unsupported_table(table, str(table["name"]) if table is hinted else root) for table in tables)
    return next((why for why in found if why is not None), None)


def _all_evolve(contract: Any) -> bool:
    if contract is None or contract == "evolve":
        return True
    return isinstance(contract, dict) and all(mode == "evolve" for mode in contract.values())


def _say(name: str, reason: str) -> None:
    logger.info(f"headrace: resource `{name}` takes dlt's path: {reason}")


def install(resource: DltResource) -> None:
    """Makes a rest_api resource native where that is possible. Others stay as they are."""
    pipe = resource._pipe
    try:
        arguments = resource.explicit_args or {}
    except TypeError:  # a resource of the user's that takes no arguments
        return
    if plan_of(pipe) is not None or "client" not in arguments:
        return
    plan = Plan(resource)
    if plan.is_dependent:

        def native(item: Any, meta: Any = None) -> Any:
            return plan.transform(item, meta)
    else:

        def native() -> Any:  # type: ignore[misc]
            return plan.generate()

    setattr(native, _MARK, plan)
    native.__name__ = native.__qualname__ = (
        paginate_dependent_resource.__name__ if plan.is_dependent else "paginate_resource"
    )
    pipe.replace_gen(native)
