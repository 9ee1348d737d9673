"""Settings of headrace: section `[headrace]` of config.toml, or `HEADRACE__...` in the environment."""

from dataclasses import fields
from functools import cache
from typing import Any

from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration


@configspec
class HeadraceConfiguration(BaseConfiguration):
    """How the engine runs.

    Attributes:
        enabled: True puts the engine under dlt's normalize step and under dlt's own `rest_api` sources, for every pipeline
            (`headrace.install()` does so too).
        prefer_parquet: True makes dlt's normalize step write Parquet wherever the destination takes it and neither the
            resource nor the run asks for another format (DuckDB's own choice is INSERT statements, slow to load).
        rest_api: False leaves dlt's own `rest_api` sources as they are when `enabled`.
        nested_arrow: "tables" makes relational tables of nested Arrow columns of every resource, with the engine enabled
            (`headrace.nested(resource)` does so for one, enabled or not).
        on_incomplete: "warn" or "raise": what happens when pages of a `rest_api` resource seem to be missing.
        on_error: "raise", "skip_parent" or "skip_resource": what of `rest_api` is left out when a page fails.
        native: False makes every resource take dlt's own path.
        workers: Worker threads; 0: the machine's cores.
        memory_limit: Bytes that pages and batches may hold together.
        max_in_flight: Requests in flight in all.
        max_in_flight_per_host: Requests in flight to one host, at most: the number adapts to what the host bears.
        first_in_flight_per_host: Requests in flight to a host before anything is known of it.
        max_requests_per_second: Requests to one host that start in a second, evenly; 0: no limit of ours.
        rate_share: Processes that share the rate limits (several pipelines at once): each takes its part.
        max_rate_pause: Seconds that are waited at most for a rate limit that a server told.
        batch_bytes: Bytes of rows that leave the engine together.
        max_body_bytes: Largest answer, after decompression.
        archive_members: Which members of zip and tar archives are read, by their paths: a pattern as `*.csv`.
        archive_max_members: Members that an archive may have.
        archive_max_bytes: Bytes that an archive may hold, unpacked.
        archive_max_ratio: Times that what is unpacked may be larger than what is stored.
    """

    enabled: bool = False
    prefer_parquet: bool = False
    rest_api: bool = True
    nested_arrow: str = ""
    on_incomplete: str = "warn"
    on_error: str = "raise"
    native: bool = True
    workers: int = 0
    memory_limit: int = 256 << 20
    max_in_flight: int = 64
    max_in_flight_per_host: int = 16
    first_in_flight_per_host: int = 3
    max_requests_per_second: float = 0
    rate_share: int = 1
    max_rate_pause: float = 3600
    batch_bytes: int = 8 << 20
    max_body_bytes: int = 1 << 30
    archive_members: str = "*"
    archive_max_members: int = 100_000
    archive_max_bytes: int = 1 << 38
    archive_max_ratio: int = 500

    __section__ = "headrace"


def settings() -> HeadraceConfiguration:
    """The settings in force here."""
    return resolve_configuration(HeadraceConfiguration(), sections=("headrace",))


def setting(name: str) -> Any:
    """One of the settings in force here: dlt asks its providers for each field, 2 ms for all of them."""
    return getattr(resolve_configuration(_only(name)(), sections=("headrace",)), name)


@cache
def _only(name: str) -> type[BaseConfiguration]:
    """A configuration of this field alone."""
    field = next(field for field in fields(HeadraceConfiguration) if field.name == name)
    members = {"__annotations__": {name: field.type}, name: field.default, "__section__": "headrace"}
    return configspec(type(HeadraceConfiguration.__name__, (BaseConfiguration,), members))
