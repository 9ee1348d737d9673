"""Where the versions of dlt differ in what normalizing gives: one name a difference."""

from __future__ import annotations

from importlib import metadata

from dlt.common import time


def dlt_version() -> tuple[int, ...]:
    """Major and minor version of the dlt that is installed."""
    return tuple(int(part) for part in metadata.version("dlt").split(".")[:2])


_version = dlt_version()

EMPTIES_TABLE_WITHOUT_ROWS = _version >= (1, 28)  # a file whose rows were all left out empties its table
MAKES_TABLE_WITHOUT_ROWS = _version == (1, 28)  # and makes it, if it has seen no data
DECIMALS_OF_DOUBLES_BY_TEXT = _version >= (1, 27)  # before: of the double's exact binary value
# A datetime in a timestamp column keeps its UTC offset or has none, as text formats show.
KEEPS_OFFSETS = _version < (1, 31)
DESCRIBES_VARIANTS = _version >= (1, 31)  # a variant column has a description
# Whether a destination's capabilities decide if the timestamps of a Parquet file have a zone.
DESTINATION_DECIDES_ON_ZONES = _version >= (1, 31)


def context_timezone() -> str:
    """The zone of naive timestamps. Before dlt 1.31 always UTC."""
    get = getattr(time, "get_context_timezone_name", None)
    return str(get()) if get is not None else "UTC"
