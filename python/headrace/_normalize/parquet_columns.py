"""What `_core.ParquetWriter` needs to make the files that dlt's settings and columns ask for, or that it cannot. Without pyarrow."""

from __future__ import annotations

from typing import Any

from dlt.common.configuration import with_config
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.configuration import ParquetFormatConfiguration

from headrace._normalize import dlt_versions as _dlt_versions
from headrace._parquet import CHUNKING, is_complete


@with_config(spec=ParquetFormatConfiguration)
def _resolved(_format: ParquetFormatConfiguration = None) -> ParquetFormatConfiguration:  # type: ignore[assignment]
    return _format


def settings_of(caps: DestinationCapabilitiesContext | None) -> tuple[Any, str | None]:
    """What `ParquetDataWriter.__init__` of dlt finds, which imports pyarrow: the settings, and the zone of timestamps (None:
    the context's).
    """
    resolved = _resolved()
    settings = resolved
    of_destination = getattr(caps, "parquet_format", None)
    if of_destination is not None:
        settings = of_destination.copy()
        settings.update(resolved.as_dict_nondefault())
    return settings, resolved.timestamp_timezone


def native_options(settings: Any) -> dict[str, Any] | None:
    """Arguments of `_core.ParquetWriter` that do what the settings say; None: it does not."""
    if not is_complete(settings):
        return None
    is_plain = (
        settings.flavor is None
        and settings.version in ("2.4", "2.6")
        and settings.coerce_timestamps is None
        and not settings.write_page_index
        and not getattr(settings, CHUNKING)
    )
    compression = str(settings.compression or "none").lower()
    page_bytes, group_rows = settings.data_page_size or 1 << 20, settings.row_group_size or 1 << 20
    if not is_plain or compression not in ("snappy", "none") or min(page_bytes, group_rows) < 1:
        return None
    return {
        "page_bytes": min(page_bytes, 1 << 30),
        "group_rows": min(group_rows, 2**31 - 1),
        "compress": compression == "snappy",
    }


def native_columns(
    columns: dict[str, Any], caps: DestinationCapabilitiesContext | None, timezone: str | None
) -> list[tuple[str, str, bool]] | None:
    """The Parquet columns that dlt's `columns_to_arrow` gives for a table's, for `_core.ParquetWriter`: name, Arrow format,
    nullable. None: some are not of its types.
    """
    caps = caps or DestinationCapabilitiesContext.generic_capabilities()
    formats = [
        (column["name"], _format_of(column, caps, timezone), bool(column.get("nullable", True)))
        for column in columns.values()
    ]
    return None if any(fmt is None for _, fmt, _ in formats) else formats  # type: ignore[return-value]


_SIMPLE = {"text": "u", "double": "g", "bool": "b", "date": "tdD"}


def _format_of(column: Any, caps: DestinationCapabilitiesContext, timezone: str | None) -> str | None:
    data_type, precision, scale = column["data_type"], column.get("precision"), column.get("scale")
    if data_type in _SIMPLE:
        return _SIMPLE[data_type]
    if data_type == "bigint":
        return "l" if precision is None or precision > 32 else None
    if data_type == "binary":
        return None if precision else "z"
    if data_type == "json":
        return None if column.get("x-nested-type") else "u"
    if data_type == "decimal":
        if precision is None and scale is None:
            precision, scale = caps.decimal_precision
        is_native = precision is not None and scale is not None and 0 <= scale <= precision and 1 <= precision <= 38
        return f"d:{precision},{scale}" if is_native else None
    if data_type in ("timestamp", "time"):
        precision = caps.timestamp_precision if precision is None else precision
        if not 3 < precision <= 6:
            return None
        if data_type == "time":
            return "ttu"
        timezone = _dlt_versions.context_timezone() if timezone is None else timezone
        if not _has_zone(column, caps) or not timezone:
            return "tsu:"
        return "tsu:UTC" if timezone == "UTC" else None
    return None


def _has_zone(column: Any, caps: DestinationCapabilitiesContext) -> bool:
    """Whether a timestamp column is one of moments, not of wall clocks (`get_column_timezone` of dlt)."""
    if _dlt_versions.DESTINATION_DECIDES_ON_ZONES and not caps.supports_tz_aware_datetime:
        return False
    if _dlt_versions.DESTINATION_DECIDES_ON_ZONES and not caps.supports_naive_datetime:
        return True
    return bool(column.get("timezone", True))
