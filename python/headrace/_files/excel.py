"""Spreadsheets: `read_excel` (xlsx, xlsm, xls, xlsb, ods), through fastexcel (calamine): cells become Arrow columns.

Cells have their cached values. A column has one type: that of its cells, text where they differ.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import IO, Any, NamedTuple

import dlt
import pyarrow as pa
from dlt.common import logger

from headrace._files.arguments import check_arguments
from headrace._files.excel_cells import column_letters, fill_merged, typed, with_durations
from headrace._files.opened import SeekableFile
from headrace._files.skips import Position
from headrace._files.tables import library, path_of, read_tables, size_of
from headrace.config import setting

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAX_UNPACKED = 4 << 30  # bytes of a workbook's parts together
_PEEK_ROWS = 100  # in which a header is looked for
_RANGE = re.compile(
    r"^(?:'?(?P<sheet>[^!]+?)'?!)?\$?(?P<c0>[A-Z]{1,3})\$?(?P<r0>\d+):\$?(?P<c1>[A-Z]{1,3})\$?(?P<r1>\d+)$"
)
_NUMBER = re.compile(r"^[-+]?[\d.,]+(e[-+]?\d+)?$|^\d{4}-\d\d-\d\d", re.I)
_SHOWN_ERRORS = 5
_MIXED = "unsupported column type combination"  # what fastexcel says

_Header = int | str | None


class _Area(NamedTuple):
    """What is read of a sheet; rows are those that Excel shows, from 1.

    Attributes:
        header_row: 0: the first row that is not empty; None: there is none; -5: there is none, records begin in row 5.
    """

    sheet: str
    header_row: int | None
    n_rows: int | None = None
    columns: str | None = None  # "B:D"


def _read_excel(
    items: Iterable[Any],
    *,
    sheets: str | int | Sequence[str | int] = 0,
    each_sheet_a_table: bool = False,
    header_row: int | str | None = "auto",
    table: str | None = None,
    range: str | None = None,
    columns: Sequence[str] | None = None,
    dtypes: dict[str, str] | None = None,
    merged: str = "first",
    errors: str = "null",
    on_error: str = "raise",
) -> Iterator[Any]:
    """Reads spreadsheets.

    Args:
        items: A page of files.
        sheets: A sheet's number from 0, its name, a pattern (`"*"`, `"Sales 20*"`) or a list of these. Where a pattern or
            list may stand for several, their rows get a column `sheet_name`. Hidden sheets only by their name.
        each_sheet_a_table: Each sheet goes into the table of its name, instead of all into the resource's.
        header_row: The row with the names, from 1 as Excel shows it; None: there is none, columns are named by their letters;
            "auto": the first row that has only texts in at least half of the sheet's columns, below title lines.
        table: A named Excel table (xlsx) instead of sheets.
        range: A named range, or "Sheet!B5:D20", instead of sheets; its first row is the header (`header_row=None`: it is not).
        columns: Only these columns.
        dtypes: Types of columns: "int", "float", "string", "boolean", "datetime", "date", "duration".
        merged: What cells of a merged range have: "first": only the first has the value, as the file has it; "fill": all.
        errors: What becomes of cells like #DIV/0!: "null" (told by a warning), or "raise" with their addresses.
        on_error: `raise` or `skip_file` (`skip_row` is the same here): what happens with a file that is no spreadsheet.
    """
    where = {"sheets": sheets, "table": table, "range": range, "header_row": header_row}
    how = {"each_sheet_a_table": each_sheet_a_table, "merged": merged, "errors": errors}
    check_arguments("read_excel", {**where, **how, "columns": columns, "dtypes": dtypes})
    fastexcel = library("fastexcel", "read_excel", "excel")
    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # it warns of each column without a value
    calamine = library("python_calamine", "read_excel", "excel") if merged == "fill" else None
    tells_sheet = not each_sheet_a_table and (not isinstance(sheets, str | int) or _is_pattern(sheets))

    def read(file: SeekableFile, position: Position, item: Any) -> Iterator[Any]:
        book = _Book(fastexcel, file, position, dtypes, errors)
        if table is not None:
            yield from _sliced(book.named_table(table), columns)
            return
        areas = [book.area(range, header_row)] if range is not None else book.areas(sheets, header_row)
        for number, area in enumerate(areas):
            position.move(f"sheet `{area.sheet}`", number / len(areas))
            found = book.read(area, calamine)
            if not found.num_columns:
                continue  # an empty sheet
            if tells_sheet:
                found = found.append_column("sheet_name", pa.repeat(area.sheet, found.num_rows))
            for piece in _sliced(found, columns):
                yield dlt.mark.with_table_name(piece, area.sheet) if each_sheet_a_table else piece

    yield from read_tables(items, "read_excel", on_error, read)


def _is_pattern(sheets: Any) -> bool:
    return isinstance(sheets, str) and any(mark in sheets for mark in "*?[")


def _sliced(table: pa.Table, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    if columns is not None:
        missing = [name for name in columns if name not in table.column_names]
        if missing:
            raise ValueError(f"no column `{missing[0]}`; there are {', '.join(table.column_names[:20])}")
        table = table.select([*columns, *(["sheet_name"] if "sheet_name" in table.column_names else [])])
    n_rows = max(table.num_rows * setting("batch_bytes") // max(table.nbytes, 1), 1)
    for first in range(0, max(table.num_rows, 1), n_rows):
        yield table.slice(first, n_rows)


class _Book:
    """An open workbook."""

    def __init__(self, fastexcel: Any, file: SeekableFile, position: Position, dtypes: Any, errors: str) -> None:
        _check(file)
        self._is_ods = _is_ods(file)
        self.source: Any = path_of(file) or file.read()
        self._position = position
        self._dtypes = dtypes
        self._errors = errors
        self._loaded: tuple[_Area | None, Any] = (None, None)
        self._fastexcel = fastexcel
        with self._told_errors("no spreadsheet that can be read: "):
            self._reader = fastexcel.read_excel(self.source)

    @contextmanager
    def _told_errors(self, what: str = "") -> Iterator[None]:
        """Around calls of fastexcel: its errors as `ValueError`. A panic of Rust would pass every `except Exception`."""
        try:
            yield
        except self._fastexcel.FastExcelError as error:
            raise ValueError(f"{what}{_short(error)}") from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise ValueError(f"{what}calamine failed: {_short(error)}") from error

    # ---- what to read

    def areas(self, sheets: Any, header_row: _Header) -> list[_Area]:
        """The sheets that are asked for."""
        names = self._reader.sheet_names
        found: list[str] = []
        for wanted in [sheets] if isinstance(sheets, str | int) else sheets:
            if isinstance(wanted, int):
                if not -len(names) <= wanted < len(names):
                    raise ValueError(f"no sheet number {wanted}: the file has {len(names)}: {', '.join(names[:20])}")
                found.append(names[wanted])
            elif wanted in names:
                found.append(wanted)
            else:
                matching = [name for name in names if fnmatchcase(name, wanted)] if _is_pattern(wanted) else []
                if not matching:
                    raise ValueError(f"no sheet `{wanted}`: the file has {', '.join(names[:20])}")
                found += [name for name in matching if self._load(_Area(name, 0, 1)).visible == "visible"]
        return [self._with_header(name, header_row) for name in dict.fromkeys(found)]

    def area(self, range: str, header_row: _Header) -> _Area:
        """A named range, or one by its cells."""
        formula = next((one.formula for one in self._reader.defined_names() if one.name == range), range)
        match = _RANGE.match(formula.strip())
        if match is None:
            names = ", ".join(one.name for one in self._reader.defined_names()) or "none"
            raise ValueError(f"no range `{range}`: expected `Sheet!B5:D20` or a name; the file has {names}")
        sheet = (match["sheet"] or self._reader.sheet_names[0]).replace("''", "'")
        if sheet not in self._reader.sheet_names:
            raise ValueError(f"range `{range}`: no sheet `{sheet}`: the file has {', '.join(self._reader.sheet_names)}")
        first, last = int(match["r0"]), int(match["r1"])
        columns = f"{match['c0']}:{match['c1']}"
        if header_row is None:
            return _Area(sheet, -first, last - first + 1, columns)
        return _Area(sheet, first, last - first, columns)

    def _with_header(self, name: str, header_row: _Header) -> _Area:
        if header_row != "auto":
            return _Area(name, header_row)  # type: ignore[arg-type]
        area = _Area(name, 0)
        self._loaded = (area, self._load(area))  # most often it is this that is wanted: a sheet is parsed once
        names = self._loaded[1].available_columns()
        if names and all(one.column_name_from == "looked_up" and not _NUMBER.match(one.name) for one in names):
            return area
        row = self._header_in(name)
        return _Area(name, None if row is None else row + self._first_row(name))

    def _header_in(self, name: str) -> int | None:
        """The row that looks like a header, from 0 for the first that is not empty; None: none does."""
        rows = self._load(_Area(name, None, _PEEK_ROWS), "string").to_arrow().to_pylist()
        filled = [[value for value in row.values() if value not in (None, "")] for row in rows]
        width = max((len(values) for values in filled), default=0)
        for least in (width, max(width / 2, min(width, 2))):  # a header is full; a title spread over cells seldom is
            for number, values in enumerate(filled):
                are_texts = not any(_NUMBER.match(value) or value in ("true", "false") for value in values)
                if len(values) >= least and are_texts and len(set(values)) == len(values):
                    return number
        return None

    def _first_row(self, name: str) -> int:
        """The sheet's first row that is not empty, from 1."""
        try:
            below_second = self._load(_Area(name, 2)).total_height
        except ValueError:
            return 1
        return max(int(below_second) + 3 - int(self._load(_Area(name, None)).total_height), 1)

    # ---- reading

    def _load(self, area: _Area, dtypes: Any = None) -> Any:
        header = area.header_row
        options: dict[str, Any] = {"schema_sample_rows": None, "n_rows": area.n_rows, "use_columns": area.columns}
        if header is not None and header < 0:  # the first row that is read, of a range without a header
            above = -header - self._first_row(area.sheet)
            options["skip_rows"] = above if above > 0 else None
            options["n_rows"] = max((area.n_rows or 0) + min(above, 0), 0)
            header = None
        if header:
            header -= 1  # from 0; 0 itself is the first row that is not empty
        options.update(header_row=header, dtypes=dtypes or self._dtypes)
        try:
            return self._sheet(area.sheet, options)
        except ValueError as error:
            if dtypes is not None or _MIXED not in str(error):
                raise
        texts = {name: "string" for name in self._mixed(area.sheet, options)}
        return self._sheet(area.sheet, {**options, "dtypes": {**(self._dtypes or {}), **texts}})

    def _sheet(self, name: str, options: dict[str, Any]) -> Any:
        with self._told_errors():
            return self._reader.load_sheet(name, **options)

    def _mixed(self, sheet: str, options: dict[str, Any]) -> Iterator[int]:
        """Columns of which fastexcel finds no type, such as durations and texts."""
        for info in self._sheet(sheet, {**options, "dtypes": "string"}).selected_columns:
            try:
                self._sheet(sheet, {**options, "use_columns": [info.absolute_index]})
            except ValueError:
                yield info.absolute_index

    def read(self, area: _Area, calamine: Any) -> pa.Table:
        """The sheet's rows."""
        self._position.place = f"sheet `{area.sheet}`"
        sheet = self._loaded[1] if self._loaded[0] == area else self._load(area)
        self._loaded = (None, None)
        with self._told_errors():
            batch, failed = sheet.to_arrow_with_errors()
        infos = sheet.selected_columns
        if failed is not None and failed.errors:
            self._told(area, infos, failed.errors)
        table = pa.Table.from_batches([batch])
        if self._is_ods and any(_may_have_durations(column) for column in table.columns):
            table = self._with_durations(area, table, infos)
        if calamine is not None:
            top = self._first_data_row(area)
            with calamine.load_workbook(
                self.source if isinstance(self.source, str) else io.BytesIO(self.source)
            ) as book:
                ranges = book.get_sheet_by_name(area.sheet).merged_cell_ranges or []
            table = fill_merged(table, [one.absolute_index for one in infos], top - 1, ranges)
        names = [
            one.name if one.column_name_from != "generated" else column_letters(one.absolute_index) for one in infos
        ]
        is_generated = [one.column_name_from == "generated" for one in infos]
        return typed(table.rename_columns(names), is_generated)

    def _with_durations(self, area: _Area, table: pa.Table, infos: list[Any]) -> pa.Table:
        """The durations of an ods that are ISO's texts: fastexcel leaves them out."""
        calamine = library("python_calamine", "read_excel", "excel")
        source = self.source if isinstance(self.source, str) else io.BytesIO(self.source)
        with calamine.load_workbook(source) as book:
            rows = book.get_sheet_by_name(area.sheet).to_python(skip_empty_area=False)
        first = self._first_data_row(area) - 1
        for place, info in enumerate(infos):
            column = table.column(place)
            if _may_have_durations(column):
                cells = [row[info.absolute_index] for row in rows[first : first + len(column)]]
                table = table.set_column(place, table.field(place).name, with_durations(column, cells))
        return table

    def _first_data_row(self, area: _Area) -> int:
        """The row, as Excel shows it, of the first record."""
        if area.header_row is None:
            return self._first_row(area.sheet)
        if area.header_row == 0:
            return self._first_row(area.sheet) + 1
        return area.header_row + 1 if area.header_row > 0 else -area.header_row

    def _told(self, area: _Area, infos: list[Any], found: list[Any]) -> None:
        """Says where cells have errors, or do not have their column's type."""
        top = self._first_data_row(area)
        shown = [
            f"{_cell(infos[one.offset_position[1]], one.offset_position[0] + top)}: {one.detail}"
            for one in found[:_SHOWN_ERRORS]
        ]
        text = f"sheet `{area.sheet}`: {len(found)} cells have no value: {'; '.join(shown)}"
        text += ", ..." * (len(found) > len(shown))
        if self._errors == "raise":
            raise ValueError(text)
        logger.warning(f"headrace: read_excel: {text}: they are null")

    def named_table(self, name: str) -> pa.Table:
        """The rows of an Excel table."""
        self._position.place = f"table `{name}`"
        with self._told_errors():
            known = self._reader.table_names()
            if name not in known:
                raise ValueError(f"no table `{name}`: the file has {', '.join(known) or 'none'}")
            table = self._reader.load_table(name, schema_sample_rows=None, dtypes=self._dtypes)
            return typed(pa.Table.from_batches([table.to_arrow()]), [False] * table.width)


def _is_ods(file: IO[bytes]) -> bool:
    file.seek(0)
    start = file.read(100)
    file.seek(0)
    return b"mimetypeapplication/vnd.oasis" in start


def _may_have_durations(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count) and bool(pa.types.is_duration(column.type) or pa.types.is_string(column.type))


def _cell(info: Any, row: int) -> str:
    return f"{column_letters(info.absolute_index).upper()}{row}"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split("Context:")[0].split())[:300]


def _check(file: IO[bytes]) -> None:
    """Raises `ValueError` for what is no workbook, has a password, or would unpack to too much."""
    size = size_of(file)
    start = file.read(8)
    if size == 0:
        raise ValueError("the file is empty: 0 bytes, a spreadsheet is a zip or OLE file")
    if start == _OLE:
        file.seek(0)
        content = file.read()
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise ValueError("the workbook has a password: headrace takes none")
    elif start[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(file) as parts:
                unpacked = sum(part.file_size for part in parts.infolist())
                encrypted = any(part.flag_bits & 1 for part in parts.infolist())
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise ValueError(f"the file is cut or corrupt: {error}") from error
        if encrypted:
            raise ValueError("the workbook has a password: headrace takes none")
        if unpacked > _MAX_UNPACKED:
            raise ValueError(f"the workbook has {unpacked} bytes unpacked; the limit is {_MAX_UNPACKED}")
    else:
        raise ValueError(f"no spreadsheet: expected PK or an OLE header at byte 0, found {start!r}")
    file.seek(0)
