"""The extraction of dlt's that is under way."""

from __future__ import annotations

from typing import Any, NamedTuple

import dlt
from dlt.extract.resource import DltResource


class Extraction(NamedTuple):
    """Where a resource is read.

    Attributes:
        key: Of this extraction of the source; it begins with the load id and `/`. What serves resources of one key shares an
            engine.
        load_id: Of the load package.
        source: dlt's source.
        resource: The resource in it whose generator runs.
    """

    key: str
    load_id: str
    source: Any
    resource: DltResource

    @property
    def table_name(self) -> str:
        """The root table."""
        return str(self.resource.table_name)


def current_extraction() -> Extraction | None:
    """The extraction that is under way; None: the resource is read outside of one."""
    try:
        name = str(dlt.current.pipe().name)
        source: Any = dlt.current.source()
        load_id = str(dlt.current.load_package_state()["load_id"])
        key = f"{load_id}/{dlt.current.source_schema().name}/{id(source)}"
        return Extraction(key, load_id, source, source.resources[name])
    except Exception:
        return None
