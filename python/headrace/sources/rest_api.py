"""dlt's `rest_api` source, fetched, decoded and normalised by the engine.

Same functions, same `RESTAPIConfig`, same tables: change `dlt.sources.rest_api` to `headrace.sources.rest_api` in the import.
dlt itself reads the configuration and makes the resources; headrace serves them. With a dlt that headrace was not tested with the
import fails with `headrace.UnsupportedDltVersion`.
"""

from typing import Any

from headrace._collector import collector_paused

with collector_paused():
    import dlt
    from dlt.extract.resource import DltResource
    from dlt.extract.source import DltSource
    from dlt.sources import rest_api as _dlt
    from dlt.sources.rest_api.typing import ClientConfig, EndpointResource, EndpointResourceBase, RESTAPIConfig

    from headrace._install import check_version
    from headrace._rest_api.options import set_options, take
    from headrace._rest_api.plan import install

check_version()

__all__ = ["RESTAPIConfig", "rest_api", "rest_api_resources", "rest_api_source"]


def _native_source(source: DltSource) -> DltSource:
    for resource in source.resources.values():
        install(resource)
    return source


def rest_api_source(config: RESTAPIConfig, *args: Any, **kwargs: Any) -> DltSource:
    """A source from a REST API configuration: the arguments of `dlt.sources.rest_api.rest_api_source`."""
    taken, options = take(config)
    source = _dlt.rest_api_source(taken, *args, **kwargs)
    set_options(list(source.resources.values()), options)
    return _native_source(source)


def rest_api_resources(config: RESTAPIConfig) -> list[DltResource]:
    """Resources from a REST API configuration, as `dlt.sources.rest_api.rest_api_resources` makes them."""
    taken, options = take(config)
    resources = _dlt.rest_api_resources(taken)
    set_options(resources, options)
    for resource in resources:
        install(resource)
    return resources


@dlt.source
def rest_api(
    client: ClientConfig = dlt.config.value,
    resources: list[str | EndpointResource | DltResource] = dlt.config.value,
    resource_defaults: EndpointResourceBase | None = None,
) -> list[DltResource]:
    """The source whose configuration may come from config.toml: `dlt.sources.rest_api.rest_api`."""
    return rest_api_resources({"client": client, "resources": resources, "resource_defaults": resource_defaults})


rest_api.add_postprocessor(_native_source)  # after `parallelized`, which wraps generators
