"""How far the engine goes with a reader's resource, and why not further."""

from __future__ import annotations

from typing import Any

from dlt.common import logger
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.schema import Schema
from dlt.extract.incremental import IncrementalResourceWrapper
from dlt.extract.resource import DltResource

from headrace import _schema, _status
from headrace._extraction import Extraction
from headrace._nested.arrow import Mark, is_marked, is_set
from headrace._normalize import loads as _normalize_loads
from headrace._rest_api.reasons import (
    children_of,
    of_arrow,
    of_data,
    of_hints,
    of_schema,
    of_settings,
    of_siblings,
    of_tables,
)
from headrace._writer import RootWriter

NO_EXTRACTION = "it is read outside of an extraction, or by another resource only"


def reason(at: Extraction) -> str | None:
    """Why the engine does not make the rows while it reads; None: it does."""
    source, resource = at.source, at.resource
    return (
        of_settings()
        or _of_steps(resource)
        or _of_readers(source, resource)
        or of_data(resource)
        or of_arrow()
        or of_hints(resource)
        or of_siblings(source, resource)
        or of_schema(source.schema)
        or of_tables(source.schema, resource)
    )


def tell(at: Extraction, why: str | None) -> None:
    """Says in the log and in `headrace.status()` how the reader is served. Records that dlt's extract gets as Python
    objects are normalized by the engine all the same.
    """
    name = at.resource.name
    if why is None:
        _status.note_resource(at.load_id, name, None, [], None)
        return
    _status.note_resource(at.load_id, name, None, [f"its records become Python objects: {why}"], None)
    if of_settings() is None:
        _normalize_loads.take(at.load_id)
    logger.info(f"headrace: resource `{name}`: its records become Python objects: {why}; the engine normalizes them")


def root_writer(at: Extraction, schema: Schema, caps: DestinationCapabilitiesContext) -> RootWriter | None:
    """Who writes the resource's rows; None: dlt, as it is to see them or to count them, or as their order says which of
    several rows with one key a merge keeps.
    """
    if not RootWriter.is_wanted() or is_marked(at.resource) or is_set():
        return None
    planned = schema.clone()
    root = _schema.prepare_root(planned, at.resource)
    return None if planned.tables[root].get("write_disposition") == "merge" else RootWriter(schema, caps, root)


def _of_steps(resource: DltResource) -> str | None:
    pipe = resource._pipe
    for step in pipe.steps[pipe._gen_idx + 1 :]:
        if isinstance(step, IncrementalResourceWrapper):
            if step.incremental is not None:
                return "its incremental stands in a hint"
            continue
        if isinstance(step, Mark):
            continue  # looks at Arrow tables only
        return f"records pass a step in Python (`{getattr(step, '__name__', type(step).__name__)}`)"
    return None


def _of_readers(source: Any, resource: DltResource) -> str | None:
    if resource.name not in source.resources.selected:
        return "only other resources read its records"
    for pipe in children_of(source, resource._pipe):
        return f"`{pipe.name}` reads its records as Python objects"
    return None
