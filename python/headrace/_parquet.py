"""dlt's settings of Parquet files, for writers of our own."""

from __future__ import annotations

from typing import Any

# What `ParquetDataWriter._create_writer` of dlt 1.31 hands to pyarrow.
CHUNKING = "use_content_defined_chunking"
_FIRST_WITH_CHUNKING = 21  # of pyarrow
_NAMES = (
    *("flavor", "version", "compression", "data_page_size", "coerce_timestamps", "allow_truncated_timestamps"),
    *("use_compliant_nested_type", "write_page_index", CHUNKING),
)


def is_complete(settings: Any) -> bool:
    """Whether dlt's settings have all that its newest writer hands on: those of older versions have fewer."""
    return all(hasattr(settings, name) for name in _NAMES)


def writer_options(settings: Any) -> dict[str, Any]:
    """Of dlt's settings, arguments of `pyarrow.parquet.ParquetWriter`, which knew no content-defined chunking once."""
    import pyarrow as pa

    options = {name: getattr(settings, name) for name in _NAMES if hasattr(settings, name)}
    if int(pa.__version__.split(".")[0]) < _FIRST_WITH_CHUNKING:
        options.pop(CHUNKING, None)
    return options
