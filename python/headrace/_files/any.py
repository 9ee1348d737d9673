"""`read_any`: each file by the reader of the format that its content has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from dlt.common import logger

from headrace._files.archives import Files, IsArchive, archive_of
from headrace._files.arguments import check_arguments
from headrace._files.opened import open_file, open_seekable
from headrace._files.skips import Skips, current_resource
from headrace._files.sniff import HEAD_BYTES, Found, sniff
from headrace._files.stores import url_of
from headrace._files.tables import marked


def _read_any(
    items: Iterable[Any], *, options: dict[str, dict[str, Any]] | None = None, on_error: str = "raise"
) -> Iterator[Any]:
    """Reads files of any known format, which is told from their content, compressed or not; the log says what was taken for what.

    Args:
        items: A page of files.
        options: Arguments of the formats' readers, by format: `{"xml": {"record": "book"}, "excel": {"sheets": "*"}}`.
        on_error: `raise`, `skip_file` or `skip_row`: what happens with a file of no known format, or that its reader cannot read.
    """
    options = options or {}
    check_arguments("read_any", {"options": options})
    skips = Skips(current_resource("read_any"), on_error)
    left = Files(items)
    told = ((item, _format(item, skips, left)) for item in left.taken())
    for found, group in itertools.groupby(told, key=lambda pair: pair[1]):
        files = [item for item, _ in group]
        if found is not None:
            name, delimiter = found
            told_by_content = {"sep": delimiter} if delimiter not in ("", ",") else {}
            yield from _read(name, files, {"on_error": on_error, **told_by_content, **options.get(name, {})})
    skips.note()


def _format(item: Any, skips: Skips, left: Files) -> tuple[str, str] | None:
    """The file's format and the delimiter of CSV; None: no format, and that was told, or an archive, whose members come
    next.
    """
    with skips.guard(item, left):
        found = told_of(item)
        if found.format is not None:
            logger.info(f"headrace: read_any: {url_of(item)} is taken for {found.format}: {found.why}")
            return found.format, found.delimiter
        raise ValueError(f"no format that headrace reads: {found.why}")
    return None


def told_of(item: Any) -> Found:
    """What the file is, and why. Raises `IsArchive` for one of which the members are to be read."""
    with open_file(item, HEAD_BYTES, takes_archive=True, is_whole=False) as file:
        head = file.read(HEAD_BYTES)
    kind = archive_of(head)
    if kind == "zip":
        with open_seekable(item) as file:
            found = sniff(head, file)
        if found.format is not None:
            return found
    if kind is not None:
        raise IsArchive(f"it is a {kind} archive")
    return sniff(head)


def _read(name: str, files: list[Any], arguments: dict[str, Any]) -> Iterator[Any]:
    from headrace.sources import filesystem as readers

    reader: Any = getattr(readers, f"_read_{name}")
    for made in reader(files, **arguments) or ():
        # the tables of lines have their ids and links already
        yield marked(made, "keep") if name in ("json", "jsonl", "csv", "xml") and isinstance(made, pa.Table) else made
