"""Spreadsheets: sheets, headers, cells of every kind, ranges, merged cells; against openpyxl and dlt; bad files."""

import datetime
import io
import zipfile

import openpyxl
import pytest
from files_reading import read, run
from headrace.sources import filesystem as files
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.table import Table
from oracle import read_tables

DAY = datetime.datetime(2024, 1, 2, 3, 4, 5)
SALES = [
    ["id", "name", "at", "amount", "ok", "empty"],
    [1, "a", DAY, 1.5, True, None],
    [2, None, DAY, 2, False, None],
    [3, "ç", None, None, None, None],
]


def rows(table):
    return [table.column_names, *(list(row.values()) for row in table.to_pylist())]


def book(folder, sheets, name="a.xlsx", change=None):
    """A workbook with these sheets: {name: rows}."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, content in sheets.items():
        sheet = made.create_sheet(title)
        for row in content:
            sheet.append(row)
    if change is not None:
        change(made)
    made.save(folder / name)


def test_cells_are_what_openpyxl_reads(tmp_path):
    book(tmp_path, {"Sales": SALES})
    (table,) = read(files._read_excel, tmp_path)
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    assert rows(table) == [list(row) for row in sheet.values]
    assert list(map(str, table.schema.types)) == ["int64", "string", "timestamp[ms]", "double", "bool", "null"]


def test_times_durations_and_both_epochs(tmp_path):
    values = [
        ["day", "time", "span"],
        [datetime.datetime(2024, 2, 29), datetime.time(1, 2, 3), datetime.timedelta(hours=30)],
    ]
    book(tmp_path, {"s": values}, "a.xlsx")
    book(
        tmp_path,
        {"s": values},
        "b.xlsx",
        lambda made: setattr(made, "epoch", openpyxl.utils.datetime.CALENDAR_MAC_1904),
    )
    for table in read(files._read_excel, tmp_path):
        assert rows(table)[1][:2] == values[1][:2]
    (first, _) = read(files._read_excel, tmp_path)
    assert first["span"].to_pylist() == [30 * 3600.0]


def test_the_header_is_found_below_title_lines(tmp_path):
    title = [
        [],
        ["Sales of the year"],
        ["spread", None, "over", "cells", None, "!"],
        ["all branches", None, None, 2024],
        [],
    ]
    book(tmp_path, {"Sales": title + SALES})
    (table,) = read(files._read_excel, tmp_path)
    assert rows(table)[:2] == [SALES[0], SALES[1]]
    (given,) = read(files._read_excel, tmp_path, header_row=6)
    assert given.equals(table)


def test_a_table_without_header_has_letters(tmp_path):
    book(tmp_path, {"s": [[1, "x", DAY], [2, "y", DAY]]})
    for options in ({}, {"header_row": None}):
        (table,) = read(files._read_excel, tmp_path, **options)
        assert rows(table) == [["a", "b", "c"], [1, "x", DAY], [2, "y", DAY]]


def test_sheets_by_number_name_pattern_and_all(tmp_path):
    sheets = {"Jan 24": [["a"], [1]], "Feb 24": [["a"], [2]], "Notes": [["b"], ["x"]], "Empty": [], "Old": [["a"], [9]]}
    book(tmp_path, sheets, change=lambda made: setattr(made["Old"], "sheet_state", "hidden"))

    def found(**options):
        return [rows(table) for table in read(files._read_excel, tmp_path, **options)]

    assert found() == [[["a"], [1]]]
    assert found(sheets=1) == found(sheets="Feb 24") == [[["a"], [2]]]
    assert found(sheets="Old") == [[["a"], [9]]]
    named = [[["a", "sheet_name"], [1, "Jan 24"]], [["a", "sheet_name"], [2, "Feb 24"]]]
    assert found(sheets="* 24") == found(sheets=[0, "Feb 24"]) == named
    assert found(sheets="*") == [*named, [["b", "sheet_name"], ["x", "Notes"]]]
    with pytest.raises(Exception, match="no sheet `Mar`: the file has Jan 24, Feb 24, Notes, Empty, Old"):
        found(sheets="Mar")
    with pytest.raises(Exception, match="no sheet number 7: the file has 5"):
        found(sheets=7)


def test_each_sheet_becomes_a_table_or_all_one(tmp_path):
    book(tmp_path, {"Jan": [["a"], [1]], "Feb": [["a"], [2]]})
    each = read_tables(
        run(files, "read_excel", tmp_path, tmp_path / "each", "*.xlsx", sheets="*", each_sheet_a_table=True)
    )
    assert {name: [row["a"] for row in table] for name, table in each.items()} == {"jan": [1], "feb": [2]}
    one = read_tables(run(files, "read_excel", tmp_path, tmp_path / "one", "*.xlsx", sheets="*"))
    assert sorted((row["sheet_name"], row["a"]) for row in one["t"]) == [("Feb", 2), ("Jan", 1)]


def test_named_ranges_ranges_and_tables(tmp_path):
    def change(made):
        made.defined_names["what_we_sold"] = DefinedName("what_we_sold", attr_text="Sales!$A$1:$B$3")
        made["Sales"].add_table(Table(displayName="Tab", ref="A1:D4"))

    book(tmp_path, {"Other": [["x"]], "Sales": SALES}, change=change)
    (table,) = read(files._read_excel, tmp_path, range="what_we_sold")
    assert rows(table) == [row[:2] for row in SALES[:3]]
    (table,) = read(files._read_excel, tmp_path, range="Sales!B2:D3", header_row=None)
    assert rows(table) == [["b", "c", "d"], *(row[1:4] for row in SALES[1:3])]
    (table,) = read(files._read_excel, tmp_path, table="Tab")
    assert rows(table) == [row[:4] for row in SALES]
    with pytest.raises(Exception, match="no table `T`: the file has Tab"):
        read(files._read_excel, tmp_path, table="T")
    with pytest.raises(Exception, match="no range `r`: expected `Sheet!B5:D20` or a name; the file has what_we_sold"):
        read(files._read_excel, tmp_path, range="r")


def test_merged_cells_are_filled_where_it_is_asked_for(tmp_path):
    content = [["region", "n", "m"], ["north", 1, 5], [None, 2, None], [None, 3, 6], ["south", 4, 7]]

    def change(made):
        made.active.merge_cells("A2:A4")
        made.active.merge_cells("B5:C5")

    book(tmp_path, {"s": content}, change=change)
    (first,) = read(files._read_excel, tmp_path)
    assert first["region"].to_pylist() == ["north", None, None, "south"]
    (filled,) = read(files._read_excel, tmp_path, merged="fill")
    assert filled["region"].to_pylist() == ["north", "north", "north", "south"]
    assert filled["m"].to_pylist() == [5, None, 6, 4]


def test_error_cells_are_null_or_told_with_their_address(tmp_path):
    content = [[], ["a", "b"], [1, "x"], ["#DIV/0!", "y"], ["#N/A", "z"]]
    book(tmp_path, {"s": content})
    (table,) = read(files._read_excel, tmp_path)
    assert table["a"].to_pylist() == [1, None, None]
    with pytest.raises(Exception, match=r"sheet `s`: 2 cells have no value: A4: .*Div0.*; A5: .*NA"):
        read(files._read_excel, tmp_path, errors="raise")


def test_a_formula_has_its_cached_value(tmp_path):
    book(tmp_path, {"s": [["a"], [7]]})
    content = {}
    with zipfile.ZipFile(tmp_path / "a.xlsx") as parts:
        content = {name: parts.read(name) for name in parts.namelist()}
    sheet = content["xl/worksheets/sheet1.xml"]
    assert b"<v>7</v>" in sheet
    content["xl/worksheets/sheet1.xml"] = sheet.replace(b"<v>7</v>", b"<f>1+41</f><v>42</v>")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as parts:
        for name, data in content.items():
            parts.writestr(name, data)
    assert read(files._read_excel, tmp_path)[0]["a"].to_pylist() == [42]


def test_columns_of_mixed_cells_are_text_and_types_can_be_given(tmp_path):
    book(tmp_path, {"s": [["a", "b"], [1, 1], ["x", 2]]})
    (table,) = read(files._read_excel, tmp_path)
    assert table["a"].to_pylist() == ["1", "x"]
    (table,) = read(files._read_excel, tmp_path, dtypes={"b": "string"}, columns=["b"])
    assert table.to_pydict() == {"b": ["1", "2"]}


def test_rows_are_dlts(tmp_path):
    book(tmp_path, {"Sales": [row[:5] for row in SALES]})
    found = read_tables(run(files, "read_excel", tmp_path, tmp_path / "work", "*.xlsx"))["t"]
    assert [(row["id"], row["name"], row["amount"], row["ok"]) for row in found] == [
        (1, "a", 1.5, True),
        (2, None, 2.0, False),
        (3, "ç", None, None),
    ]
    assert all(row["_dlt_id"] for row in found)


ODS_CELL = '<table:table-cell office:value-type="{}" {}><text:p>{}</text:p></table:table-cell>'
ODS_ROWS = (
    ("name", ODS_CELL.format("string", "", "n")),
    ("x", ODS_CELL.format("float", 'office:value="5"', "5")),
)


def ods(folder, name="a.ods", rows=ODS_ROWS):
    """A small OpenDocument sheet: texts, and cells beside them."""
    head = (
        '<?xml version="1.0"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">'
    )
    body = "".join(f"<table:table-row>{ODS_CELL.format('string', '', a)}{b}</table:table-row>" for a, b in rows)
    content = (
        f'{head}<office:body><office:spreadsheet><table:table table:name="S">{body}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(folder / name, "w") as parts:
        parts.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        parts.writestr("content.xml", content)
        parts.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )


def test_ods_is_read(tmp_path):
    ods(tmp_path)
    assert read(files._read_excel, tmp_path)[0].to_pydict() == {"name": ["x"], "n": [5]}


def ods_spans(folder, *spans, more=()):
    """A column of durations as ods has them, and other cells below."""
    cells = [ODS_CELL.format("time", f'office:time-value="{span}"', span) for span in spans]
    rows = [("name", ODS_CELL.format("string", "", "span")), *(("x", cell) for cell in [*cells, *more])]
    ods(folder, rows=rows)


def test_durations_of_ods_are_not_lost(tmp_path):
    """fastexcel has null for them."""
    ods_spans(tmp_path, "PT288H00M00S", "PT11H12M12S", "PT0H30M0.5S")
    assert read(files._read_excel, tmp_path)[0]["span"].to_pylist() == [1036800, 40332, 1800.5]


def test_a_column_of_durations_and_other_cells_is_text(tmp_path):
    """fastexcel refuses it."""
    more = [ODS_CELL.format("float", 'office:value="5"', "5"), ODS_CELL.format("string", "", "other")]
    ods_spans(tmp_path, "PT27H17M54S", "PT11H12M12S", more=more)
    (table,) = read(files._read_excel, tmp_path)
    assert table["span"].to_pylist() == ["PT27H17M54S", "11:12:12", "5", "other"]
    assert table["name"].to_pylist() == ["x"] * 4


def test_a_panic_of_the_library_is_an_error_of_the_file(tmp_path):
    """calamine panics for a header beyond the sheet, in ods and xls: no exception that `except Exception` sees."""
    ods(tmp_path)
    with pytest.raises(Exception, match=r"a\.ods, sheet `S`: ValueError: calamine failed: invalid range bounds"):
        read(files._read_excel, tmp_path, header_row=5)
    assert read(files._read_excel, tmp_path, header_row=5, on_error="skip_file") == []


CELLS = [
    ["id", "name", "price", "paid", "at"],
    [1, "Ada", 1.5, True, DAY],
    [2, "ç, \u4e2d", -2.25e10, False, DAY],
    [3, None, None, None, None],
]


def by_xlwt(path):
    xlwt = pytest.importorskip("xlwt")
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for r, row in enumerate(CELLS):
        for c, value in enumerate(row):
            style = xlwt.easyxf(num_format_str="yyyy-mm-dd hh:mm") if value is DAY else xlwt.Style.default_style
            if value is not None:
                sheet.write(r, c, value, style)
    book.save(str(path))


def by_pyxlsbwriter(path):
    with pytest.importorskip("pyxlsbwriter").XlsbWriter(str(path)) as writer:
        writer.add_sheet("S")
        writer.write_sheet(CELLS)


def by_openpyxl_with_macros(path):
    book = openpyxl.Workbook()
    for row in CELLS:
        book.active.append(row)
    book.save(path)
    book = openpyxl.load_workbook(path, keep_vba=True)
    book.save(path)


def by_odfpy(path):
    pytest.importorskip("odf")
    from odf import table
    from odf.opendocument import OpenDocumentSpreadsheet
    from odf.text import P

    book = OpenDocumentSpreadsheet()
    sheet = table.Table(name="S")
    for row in CELLS:
        made = table.TableRow()
        for value in row:
            kinds = {
                type(None): {},
                str: {"valuetype": "string"},
                bool: {"valuetype": "boolean", "booleanvalue": str(value).lower()},
                datetime.datetime: {"valuetype": "date", "datevalue": value.isoformat() if value is DAY else None},
            }
            cell = table.TableCell(**kinds.get(type(value), {"valuetype": "float", "value": value}))
            if value is not None:
                cell.addElement(P(text=str(value)))
            made.addElement(cell)
        sheet.addElement(made)
    book.spreadsheet.addElement(sheet)
    book.save(str(path))


WRITERS = {"xls": by_xlwt, "xlsb": by_pyxlsbwriter, "xlsm": by_openpyxl_with_macros, "ods": by_odfpy}


@pytest.mark.parametrize("kind", WRITERS)
def test_workbooks_of_other_writers_have_their_cells(tmp_path, kind):
    WRITERS[kind](tmp_path / f"a.{kind}")
    (table,) = read(files._read_excel, tmp_path, sheets="S" if kind != "xlsm" else 0)
    assert [table.column_names, *(list(row.values()) for row in table.to_pylist())] == CELLS
    kinds = [str(field.type).partition("[")[0] for field in table.schema]
    assert kinds == ["int64", "string", "double", "bool", "timestamp"]


def xlsx_bytes(folder):
    book(folder, {"s": SALES}, "tmp.xlsx")
    content = (folder / "tmp.xlsx").read_bytes()
    (folder / "tmp.xlsx").unlink()
    return content


def bomb():
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/workbook.xml", b"<a/>")
    content = bytearray(sink.getvalue())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    return bytes(content)


BAD = {
    "empty": (lambda folder: b"", "the file is empty: 0 bytes"),
    "misnamed": (
        lambda folder: b"id,name\n1,a\n",
        "no spreadsheet: expected PK or an OLE header at byte 0, found b'id,name",
    ),
    "cut": (lambda folder: xlsx_bytes(folder)[:-200], "the file is cut or corrupt"),
    "zip": (lambda folder: bomb(), "no spreadsheet that can be read|the limit is"),
    "password": (
        lambda folder: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le"),
        "the workbook has a password",
    ),
    "ole": (lambda folder: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(900), "no spreadsheet that can be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_an_error_with_its_place(tmp_path, kind):
    content, message = BAD[kind]
    (tmp_path / "bad.xlsx").write_bytes(content(tmp_path))
    with pytest.raises(Exception, match=message) as raised:
        read(files._read_excel, tmp_path)
    assert f"{tmp_path}/bad.xlsx" in str(raised.value)
    assert read(files._read_excel, tmp_path, on_error="skip_file") == []


@pytest.mark.parametrize(
    "options",
    [{"header_row": "first"}, {"merged": "all"}, {"errors": "ignore"}],
    ids=lambda options: next(iter(options)),
)
def test_options_that_are_none_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` of `read_excel`"):
        read(files._read_excel, tmp_path, **options)
