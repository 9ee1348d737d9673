"""How far the engine goes with a resource, and why not further: one function a subject."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from dlt.common.configuration import resolve_configuration
from dlt.common.json import json
from dlt.common.normalizers.json import relational
from dlt.common.normalizers.naming import snake_case
from dlt.common.schema import Schema
from dlt.extract.hints import NATURAL_CALLABLES
from dlt.extract.incremental import IncrementalResourceWrapper
from dlt.extract.items_transform import ItemTransform, ValidateItem
from dlt.extract.pipe import Pipe
from dlt.extract.resource import DltResource
from dlt.normalize.configuration import ItemsNormalizerConfiguration

from headrace import _schema
from headrace._rest_api.options import options_of
from headrace._rest_api.request import selector_steps
from headrace._rest_api.sessions import why_python
from headrace._rest_api.steps import names_of
from headrace.config import setting

if TYPE_CHECKING:
    from headrace._rest_api.plan import Plan

MARK = "__headrace_plan__"
_OWN_DEFAULT_HINTS = {"not_null", "parent_key", "root_key", "unique", "row_key"}


def plan_of(pipe: Pipe) -> Plan | None:
    """The plan behind a pipe's generator, if it is ours."""
    return getattr(pipe.gen, MARK, None)


class Way(Enum):
    """What a resource's generator gives to dlt."""

    TABLES = "its rows are made while it is extracted"
    TEXTS = "its records are normalized in dlt's normalize step"
    OBJECTS = "its records become Python objects"
    DLT = "takes dlt's path"


class Choice(NamedTuple):
    """A way, and why it is not one above it."""

    way: Way
    why: str | None


def choice(plan: Plan, source: Any, resource: DltResource) -> Choice:
    """How far the engine goes with this resource in this run: the first way that nothing speaks against.

    TABLES: the engine fetches, decodes and normalizes. TEXTS: it hands the records over as JSON text, which dlt's extract
    writes as it is and the engine normalizes in dlt's normalize step, by all of dlt's settings. OBJECTS: dlt's extract gets
    the records that the engine has decoded. DLT: dlt does all, requests too.
    """
    why = of_wish(plan) or of_settings() or of_arguments(plan.arguments) or of_generator(plan, resource)
    if why is not None:
        return Choice(Way.DLT, why)
    why = of_pipe(plan, resource) or of_readers(source, resource) or of_data(resource)
    if why is not None:
        return Choice(Way.OBJECTS, why)
    why = (
        of_arrow()
        or of_hints(resource)
        or of_siblings(source, resource)
        or of_schema(source.schema)
        or of_tables(source.schema, resource)
    )
    if why is None:
        return Choice(Way.TABLES, None)
    if names_of(resource._pipe) or json._impl_name != "orjson":
        return Choice(Way.OBJECTS, why)
    return Choice(Way.TEXTS, why)


def of_wish(plan: Plan) -> str | None:
    """Whether what `headrace.install()` took over is still wanted."""
    return None if plan.wanted is None or plan.wanted() else "headrace was uninstalled"


def of_settings() -> str | None:
    """What the configuration says of headrace."""
    return None if setting("native") else "[headrace] native = false"


def of_arrow() -> str | None:
    """What the configuration says of Arrow tables."""
    parquet = resolve_configuration(ItemsNormalizerConfiguration(), sections=("normalize", "parquet_normalizer"))
    if parquet.add_dlt_load_id or parquet.add_dlt_id:
        return "[normalize.parquet_normalizer] adds columns of its own"
    return None


def of_arguments(arguments: dict[str, Any]) -> str | None:
    """What in the endpoint's configuration is not native."""
    if arguments.get("data") is not None and not isinstance(arguments["data"], (dict, str, bytes)):
        return "the request's data is a stream"
    return None


def of_generator(plan: Plan, resource: DltResource) -> str | None:
    """What dlt's own generator is needed for."""
    return None if resource._pipe.gen is plan.native else "its generator is wrapped (parallelize)"


def of_pipe(plan: Plan, resource: DltResource) -> str | None:
    """What stands in the pipe beside our generator and the steps that we call."""
    pipe = resource._pipe
    for index, step in enumerate(pipe.steps):
        if index == pipe._gen_idx:
            continue
        if isinstance(step, ValidateItem) or not isinstance(step, ItemTransform):
            return f"it has a step of its own (`{getattr(step, '__name__', type(step).__name__)}`)"
        if not isinstance(step, IncrementalResourceWrapper):
            continue
        if step.incremental is not None and not plan.arguments.get("incremental_object"):
            return "its incremental stands in a hint"
    return None


def parts_in_python(plan: Plan, resource: DltResource, choice: Choice) -> list[str]:
    """What of a native resource's work is done by Python: one line each."""
    found = []
    steps = names_of(resource._pipe)
    if steps and choice.way is Way.TABLES:
        found.append(f"records pass steps in Python ({', '.join(steps)})")
    client = plan.arguments["client"]
    if why := why_python(client):
        found.append(why)
    if options_of(client).stream is not None:
        found.append("the stream's bytes come through requests")
    selector = plan.arguments.get("data_selector") or client.data_selector
    if selector and selector_steps(selector) is None:
        found.append(f"data_selector `{selector}` is applied in Python")
    if choice.way is Way.OBJECTS:
        found.append(f"{choice.way.value}: {choice.why}")
    return found


def of_readers(source: Any, resource: DltResource) -> str | None:
    """Who reads this resource's records as Python objects."""
    for pipe in children_of(source, resource._pipe):
        plan = plan_of(pipe)
        if plan is None or choice(plan, source, source.resources[pipe.name]).way is Way.DLT:
            return f"`{pipe.name}` reads its records as Python objects"
    return None


def of_data(resource: DltResource) -> str | None:
    """Which hints look at the records."""
    hints: Any = resource._hints
    if any(callable(hint) for name, hint in hints.items() if name not in NATURAL_CALLABLES):
        return "its hints depend on the data"
    if resource.validator is not None:
        return "its columns are a pydantic model"
    if resource._hints_variants:
        return "it has table variants"
    return None


def of_hints(resource: DltResource) -> str | None:
    """What in the resource's hints the engine cannot go by while it extracts."""
    hints: Any = resource._hints
    if hints.get("nested_hints"):
        return "nested_hints"
    if not _all_evolve(hints.get("schema_contract")):
        return "a schema contract"
    disposition = resource.write_disposition
    if isinstance(disposition, dict) and disposition.get("strategy") == "cdc":
        return "merge strategy cdc"
    return None


def of_siblings(source: Any, resource: DltResource) -> str | None:
    """Who else writes into the resource's table."""
    for other in source.resources.selected.values():
        if other.name != resource.name and other.table_name == resource.table_name:
            return f"`{other.name}` writes into the same table"
    return None


def of_schema(schema: Schema) -> str | None:
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
    if not _all_evolve(own.get("schema_contract")):
        return "a schema contract"
    if set(own.get("default_hints") or {}) - _OWN_DEFAULT_HINTS:
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


def of_tables(schema: Schema, resource: DltResource) -> str | None:
    """What in the hinted or stored columns the engine does not write."""
    hinted = resource.compute_table_schema()
    root = _schema.table_name(schema, hinted)
    tables = [hinted, *_schema.tables_below(schema, root)]
    found = (_schema.unsupported_table(table, str(table["name"]) if table is hinted else root) for table in tables)
    return next((why for why in found if why is not None), None)


def children_of(source: Any, parent: Pipe) -> Iterator[Pipe]:
    """The pipes that read this one's items and are part of the extraction, each once."""
    seen = set()
    for resource in source.resources.selected.values():
        pipe = resource._pipe
        while pipe.parent is not None:
            if pipe.parent.name == parent.name and pipe.name not in seen:
                seen.add(pipe.name)
                yield pipe
            pipe = pipe.parent


def _all_evolve(contract: Any) -> bool:
    if contract is None or contract == "evolve":
        return True
    return isinstance(contract, dict) and all(mode == "evolve" for mode in contract.values())
