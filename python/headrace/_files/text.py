"""Text: `read_text`. Lines, whole files, or fields of fixed width, as Arrow columns; streamed, whole blocks at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace._files.archives import Files
from headrace._files.arguments import check_arguments
from headrace._files.opened import open_file
from headrace._files.progress import progress_of
from headrace._files.skips import Position, Skips, current_resource
from headrace._nested.tables import row_numbers
from headrace.config import setting

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

Field = tuple[str | None, int]


def _read_text(
    items: Iterable[Any],
    *,
    mode: str = "lines",
    fields: Sequence[Field] | None = None,
    encoding: str | None = None,
    skip_lines: int = 0,
    on_error: str = "raise",
) -> Iterator[pa.Table]:
    """Reads text.

    Args:
        items: A page of files.
        mode: "lines": a row a line with `file_name`, `line_number` (from 1) and `text`; "file": a row a file with `file_name` and
            `text`.
        fields: Fields of fixed width, in characters, from the left: `[("id", 6), (None, 1), ("name", 20)]`; without a name they
            are passed over. A row a line, values without the spaces around them, null if nothing is left; lines of spaces
            are left out.
        encoding: Of the files; None: by their byte order mark, else UTF-8.
        skip_lines: So many lines at the start of each file are left out.
        on_error: `raise` or `skip_file` (`skip_row` is the same here): what happens with a file that is not in its encoding.
    """
    given = {"mode": mode, "fields": fields, "encoding": encoding, "skip_lines": skip_lines}
    check_arguments("read_text", given)
    skips = Skips(current_resource("read_text"), on_error)
    files, progress = Files(items), progress_of(skips.resource)
    progress.add(files)
    for item in files.taken():
        with skips.guard(item, files, progress) as position, open_file(item) as file:
            name = str(item.get("file_name"))
            if mode == "file" and fields is None:
                text = "".join(_blocks(file, position, encoding, is_whole=True))
                yield pa.table({"file_name": [name], "text": pa.array([text], pa.large_string())})
                position.read += 1
                progress.count(1)
            else:
                for table in _tables(file, position, name, fields, encoding, skip_lines):
                    yield table
                    position.read += table.num_rows
                    progress.count(table.num_rows)
                    position.move(position.place, file.stored_position / max(file.stored_size or 0, 1))
            file.check_unchanged()
    progress.more(0, is_last=True)
    skips.note()


def _blocks(file: IO[bytes], position: Position, encoding: str | None, is_whole: bool = False) -> Iterator[str]:
    """The text, in pieces of about 1 MiB."""
    start = file.read(1 << 20)
    bom = next(((mark, name) for mark, name in _BOMS if start.startswith(mark)), None)
    if bom is not None and (encoding is None or codecs.lookup(encoding).name.startswith(bom[1][:6])):
        start, encoding = start[len(bom[0]) :], bom[1]
    encoding = encoding or "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)()
    n_bytes, n_lines, block = len(bom[0]) if bom else 0, 0, start
    most = setting("max_body_bytes") if is_whole else None
    while True:
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError as error:
            line = n_lines + error.object[: error.start].count(b"\n") + 1
            at = n_bytes + len(block) - len(error.object) + error.start
            position.place = f"line {line}, byte {at}"
            found = error.object[error.start : error.start + 4]
            raise ValueError(f"not in {encoding}: {found!r} ({error.reason})") from error
        if text:
            yield text
        if not block:
            return
        n_bytes += len(block)
        n_lines += block.count(b"\n")
        if most is not None and n_bytes > most:
            raise ValueError(f"the file is larger than max_body_bytes, {most} bytes")
        block = file.read(1 << 20)


def _tables(
    file: IO[bytes],
    position: Position,
    name: str,
    fields: Sequence[Field] | None,
    encoding: str | None,
    skip_lines: int,
) -> Iterator[pa.Table]:
    number = 0  # of the lines that were read
    for lines in _lines(file, position, encoding):
        first = number
        number += len(lines)
        position.place = f"line {first + 1}"
        skipped = min(max(skip_lines - first, 0), len(lines))
        lines = lines.slice(skipped)
        if not len(lines):
            continue
        if fields is not None:
            yield _fields(lines, fields)
            continue
        names = pa.DictionaryArray.from_arrays(pa.nulls(len(lines), pa.int8()).fill_null(0), [name])
        numbers = row_numbers(first + skipped + 1, number + 1)
        yield pa.table({"file_name": names, "line_number": numbers, "text": lines})


def _lines(file: IO[bytes], position: Position, encoding: str | None) -> Iterator[pa.Array]:
    """The lines without their ends, a block of them at a time."""
    rest: list[str] = []
    n_rest, longest = 0, setting("max_body_bytes")
    for text in _blocks(file, position, encoding):
        end = text.rfind("\n") + 1
        if end == 0:
            rest.append(text)
            n_rest += len(text)
            if n_rest > longest:
                raise ValueError(f"a line is longer than max_body_bytes, {longest} bytes")
            continue
        yield _split("".join([*rest, text[: end - 1]]))
        rest, n_rest = [text[end:]], len(text) - end
    if last := "".join(rest):
        yield _split(last)


def _split(text: str) -> pa.Array:
    lines = pc.split_pattern(pa.array([text], pa.string()), "\n").flatten()
    return pc.utf8_rtrim(lines, "\r")


def _fields(lines: pa.Array, fields: Sequence[Field]) -> pa.Table:
    lines = lines.filter(pc.not_equal(pc.utf8_trim_whitespace(lines), ""))
    columns: dict[str, Any] = {}
    start = 0
    for name, width in fields:
        if name is not None:
            value = pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(lines, start, start + width))
            columns[name] = pc.if_else(pc.equal(value, ""), pa.scalar(None, pa.string()), value)
        start += width
    return pa.table(columns)
