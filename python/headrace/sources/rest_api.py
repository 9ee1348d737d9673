"""dlt's `rest_api` source, fetched, decoded and normalised by the engine.

Same functions, same `RESTAPIConfig`, same tables: change `dlt.sources.rest_api` to `headrace.sources.rest_api` in the import.
dlt itself reads the configuration and makes the resources; headrace serves them.
"""

from typing import Any

from dlt.extract.resource import DltResource
from dlt.extract.source import DltSource
from dlt.sources import rest_api as _dlt
from dlt.sources.rest_api.typing import RESTAPIConfig

from headrace._plan import install

__all__ = ["RESTAPIConfig", "rest_api", "rest_api_resources", "rest_api_source"]


def _native_source(source: DltSource) -> DltSource:
    for resource in source.resources.values():
        install(resource)
    return source


def rest_api_source(config: RESTAPIConfig, *args: Any, **kwargs: Any) -> DltSource:
    """A source from a REST API configuration: the arguments of `dlt.sources.rest_api.rest_api_source`."""
    return _native_source(_dlt.rest_api_source(config, *args, **kwargs))


def rest_api_resources(config: RESTAPIConfig) -> list[DltResource]:
    """Resources from a REST API configuration, as `dlt.sources.rest_api.rest_api_resources` makes them."""
    resources = _dlt.rest_api_resources(config)
    for resource in resources:
        install(resource)
    return resources


rest_api = _dlt.rest_api.clone()
"""The source whose configuration may come from config.toml: `dlt.sources.rest_api.rest_api`."""
rest_api.add_postprocessor(_native_source)
