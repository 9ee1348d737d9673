"""What the readers that give Arrow tables have in common: one loop over files, optional libraries, who wants child tables."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import pyarrow as pa
from dlt.common.configuration import configspec
from dlt.common.configuration.specs import BaseConfiguration

from headrace._files.archives import ARCHIVE_BYTES, Files, IsArchive, archive_of
from headrace._files.opened import SeekableFile, open_seekable, unchanged
from headrace._files.progress import progress_of
from headrace._files.skips import Position, Skips, current_resource
from headrace._nested.arrow import KEEP
from headrace.config import setting
from headrace.exceptions import ConfigurationError


@configspec
class Configured(BaseConfiguration):
    """What a reader takes from dlt's configuration where its caller does not say it. Not every argument: `columns` would be
    the terminal's width, from the environment.
    """

    on_error: str = "raise"


Reader = Callable[[SeekableFile, Position, Any], Iterator[Any]]


def read_tables(items: Iterable[Any], name: str, on_error: str, read: Reader) -> Iterator[Any]:
    """The tables of files, one file after another.

    Args:
        items: A page of files.
        name: The reader's.
        on_error: What happens with a bad file.
        read: Gives the tables of an open file, which it may seek in; keeps the position's place up to date.
    """
    skips = Skips(current_resource(name), on_error)
    files, progress = Files(items), progress_of(skips.resource)
    progress.add(files)
    for item in files.taken():
        with skips.guard(item, files, progress) as position, open_seekable(item) as file, unchanged(file):
            if name != "read_excel" and archive_of(file.read(ARCHIVE_BYTES)) is not None:
                raise IsArchive("it is an archive")
            file.seek(0)
            for table in read(file, position, item):
                yield table
                position.read += getattr(table, "num_rows", 0)
                progress.count(getattr(table, "num_rows", 0))
    progress.more(0, is_last=True)
    skips.note()


def marked(table: pa.Table, nested: str) -> pa.Table:
    """The table, with word of what becomes of its nested columns. Relational columns may be null, as those of dicts: another
    file may not have them.
    """
    if nested == "tables":
        if all(field.nullable for field in table.schema):
            return table
        fields = [field.with_nullable(True) for field in table.schema]
        return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, table.schema.metadata))
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **KEEP})


def library(module: str, reader: str, extra: str) -> Any:
    """An optional library.

    Raises:
        ConfigurationError: It is not installed; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigurationError(
            f"`{reader}` needs the package `{package}` ({error}): pip install 'headrace[{extra}]'"
        ) from error


def batch_rows(n_rows: int, n_bytes: int) -> int:
    """How many rows make about `[headrace] batch_bytes`."""
    most: int = setting("batch_bytes")
    return max(n_rows * most // max(n_bytes, 1), 1)


def is_empty(file: IO[bytes]) -> bool:
    """Whether the file has no bytes."""
    start = file.read(1)
    file.seek(0)
    return not start


def path_of(file: SeekableFile) -> str | None:
    """Where the file lies on this machine as it is read; None: it is remote, or was unpacked."""
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else None


def size_of(file: IO[bytes]) -> int:
    """Bytes of the file; it stands at its start afterwards."""
    size = file.seek(0, 2)
    file.seek(0)
    return size
