"""dlt's `filesystem` source and its readers, in the engine: change `dlt.sources.filesystem` in the import.

Same names, same arguments, same tables. A reader is a transformer over pages of files: `filesystem(...) | read_jsonl()`.
Each also takes `on_error`: `raise`, `skip_file` or `skip_row` (docs/files.md).
"""

from typing import Any

from headrace._collector import collector_paused

with collector_paused():
    import dlt
    from dlt.common.storages.fsspec_filesystem import FileItem, FileItemDict, fsspec_filesystem, glob_files
    from dlt.extract import decorators
    from dlt.extract.resource import DltResource
    from dlt.sources.credentials import FileSystemCredentials
    from dlt.sources.filesystem.helpers import FilesystemConfigurationResource
    from dlt.sources.filesystem.readers import _read_csv_duckdb
    from fsspec import AbstractFileSystem

    from headrace._files.any import _read_any
    from headrace._files.arguments import checked_reader
    from headrace._files.avro import _read_avro
    from headrace._files.csv import _read_csv
    from headrace._files.documents import _read_json
    from headrace._files.excel import _read_excel
    from headrace._files.jsonl import _read_jsonl
    from headrace._files.orc import _read_orc
    from headrace._files.parquet import ConfiguredParquet, _read_parquet
    from headrace._files.source import filesystem
    from headrace._files.tables import Configured
    from headrace._files.text import _read_text
    from headrace._files.wav import _read_wav
    from headrace._files.xml import ConfiguredXml, _read_xml
    from headrace._install import check_version
    from headrace._nested.arrow import nested

check_version()

__source_name__ = "filesystem"
__all__ = [
    "FileItem",
    "FileItemDict",
    "filesystem",
    "fsspec_filesystem",
    "glob_files",
    "read_any",
    "read_avro",
    "read_csv",
    "read_csv_duckdb",
    "read_excel",
    "read_json",
    "read_jsonl",
    "read_orc",
    "read_parquet",
    "read_text",
    "read_wav",
    "read_xml",
    "readers",
]


def _reader(function: Any, name: str | None = None, spec: Any = None) -> Any:
    """A reader as a transformer. Without a name the resource has the function's, as dlt's: `_read_jsonl`."""
    kind = checked_reader(function.__name__.lstrip("_"), function)
    options: Any = {"name": name, "section": __source_name__, "spec": spec, "_impl_cls": kind}
    return dlt.transformer(**options)(function)


def _arrow_reader(function: Any, name: str | None = None, spec: Any = Configured) -> Any:
    """A reader whose Arrow tables become relational tables."""
    return nested(_reader(function, name, spec))


# One line a reader; each is a function of a page of files.
read_any = _arrow_reader(_read_any, "read_any")
read_avro = _arrow_reader(_read_avro, "read_avro")
read_csv = _reader(_read_csv)
read_csv_duckdb = _reader(_read_csv_duckdb)
read_excel = _arrow_reader(_read_excel, "read_excel")
read_json = _reader(_read_json, "read_json")
read_jsonl = _reader(_read_jsonl)
read_orc = _arrow_reader(_read_orc, "read_orc")
read_parquet = _arrow_reader(_read_parquet, spec=ConfiguredParquet)
read_text = _arrow_reader(_read_text, "read_text")
read_wav = _arrow_reader(_read_wav, "read_wav")
read_xml = _reader(_read_xml, "read_xml", ConfiguredXml)

_IN_SOURCE = [
    _reader(_read_csv, "read_csv"),
    _reader(_read_jsonl, "read_jsonl"),
    _arrow_reader(_read_parquet, "read_parquet", ConfiguredParquet),
    _reader(_read_csv_duckdb, "read_csv_duckdb"),
]


@decorators.source(spec=FilesystemConfigurationResource)
def readers(
    bucket_url: str = dlt.secrets.value,
    credentials: FileSystemCredentials | AbstractFileSystem = dlt.secrets.value,
    file_glob: str = "*",
    kwargs: dict[str, Any] | None = None,
    client_kwargs: dict[str, Any] | None = None,
    incremental: dlt.sources.incremental[Any] | None = None,
) -> tuple[DltResource, ...]:
    """All readers, each over the files of a `filesystem`: the source `dlt.sources.filesystem.readers`, and ours.

    Args:
        bucket_url: Where the files are.
        credentials: As dlt's filesystem takes them, or an fsspec filesystem.
        file_glob: Which files.
        kwargs: For the fsspec filesystem's constructor.
        client_kwargs: For the client below it.
        incremental: A cursor over the listed files.
    """
    options: Any = {"kwargs": kwargs, "client_kwargs": client_kwargs, "incremental": incremental}
    return tuple(filesystem(bucket_url, credentials, file_glob=file_glob, **options) | reader for reader in _IN_SOURCE)
