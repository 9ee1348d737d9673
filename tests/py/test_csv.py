"""The CSV reader against pandas: the same text through pandas and the engine's JSON way, tables equal."""

import random

import pytest
from csv_oracle import by_engine, by_pandas, random_csv, same
from headrace import _core
from headrace._files.csv_options import NotNative, native_options


def options_of(rng):
    """Some of pandas' options that are native, and a dialect for the text."""
    dialect = {
        "delimiter": rng.choice(",,,;\t|"),
        "quote": rng.choice('"""\''),
        "end": rng.choice(["\n", "\n", "\r\n", "\r"]),
    }
    options = {}
    if dialect["delimiter"] != ",":
        options["sep"] = dialect["delimiter"]
    if dialect["quote"] != '"':
        options["quotechar"] = dialect["quote"]
    for name, value in (
        ("dtype", "str"),
        ("keep_default_na", False),
        ("na_filter", False),
        ("na_values", ["x", "1"]),
        ("skip_blank_lines", False),
        ("header", None),
        ("nrows", rng.randrange(1, 5)),
        ("skiprows", rng.randrange(3)),
        ("comment", "#"),
        ("skipinitialspace", True),
        ("on_bad_lines", "skip"),
        ("quoting", 3),
    ):
        if rng.random() < 0.08:
            options[name] = value
    return dialect, options


@pytest.mark.parametrize("seed", range(12))
def test_workers_and_cuts_change_nothing(seed):
    rng = random.Random(seed)
    encoding = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")[seed % 6]
    dialect, _ = options_of(rng)
    text = random_csv(rng, rng.randrange(2, 6), 400, rng.choice([0, 0.02, 0.3]), **dialect).decode()
    data = text.encode(encoding, "replace")
    options = {"sep": dialect["delimiter"], "quotechar": dialect["quote"], "encoding": encoding}
    want = by_pandas(data, 37, dtype="str", **options)  # by one thread, a character at a time
    assert same(by_engine(data, 37, dtype="str", workers=5, **options), want), (seed, options)
    got = [by_engine(data, 37, workers=workers, **options) for workers in (1, 2, 5)]
    got += [by_engine(data, 37, workers=4, step=step, **options) for step in (1, 61, 4096)]
    got += [by_engine(data, 37, workers=3, portable=True, **options)]
    assert want.num_rows > 350 and all(one.equals(got[0]) for one in got[1:]), (seed, options)


@pytest.mark.parametrize("seed", range(12))
def test_random_text_gives_what_pandas_gives(seed):
    for number in range(20):
        rng = random.Random(seed * 1000 + number)
        dialect, options = options_of(rng)
        data = random_csv(rng, rng.randrange(1, 6), rng.randrange(8), rng.choice([0, 0.1, 0.5]), **dialect)
        try:
            want = by_pandas(data, **options)
        except Exception as ex:
            with pytest.raises(_core.Error):
                by_engine(data, **options)
            assert type(ex).__name__ in ("ParserError", "EmptyDataError", "ValueError"), (data, options)
            continue
        for more in (
            {},
            {"portable": True},
            {"step": rng.randrange(1, 20)},
            {"stream_options": {"reference_only": True}},
        ):
            got = by_engine(data, **options, **more)
            assert same(got, want), (seed, number, more, options, data, want, got)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a,a,a.1,,b\n1,2,3,4,5\n", {}),  # names are made different
        ("a,b\n1,2,3\n4,5,6\n", {}),  # the first field of each row is pandas' index
        ("A b,C\n1,2\n", {"names": ["x", "y"], "header": 0}),
        ("1,2\n3,4\n", {"names": ["x", "y", "z"]}),
        ("a,b,c\n1,2,3\n", {"usecols": ["c", "a"]}),
        ("a,b,c\n1,2,3\n4,5,6,7\n", {"usecols": [1]}),
        ("a;b\n1.234,5;2\n-0,5;x\n", {"sep": ";", "decimal": ",", "thousands": "."}),
        ('a,b\n"1,234",5\n"12,345,678",6\n', {"thousands": ","}),
        ("a,b\n1,2\n,3\n", {"dtype": {"a": "float", "b": str}}),
        ("a\n2024-01-01T00:00:00Z\nx\n", {"dtype": str}),
        ("a\n9223372036854775807\n-9223372036854775808\n", {}),
        ("a\n99999999999999999999\n1.5\n", {}),
        ("a\n 1\n2 \n\t3\n", {}),
        ("a\ninf\n-Infinity\n1\n", {}),
        ("a\n0x10\n1_000\n", {}),
        ("a\n1e400\n1e-400\n-0.0\n", {}),
        ("a\nTrue\n\nFalse\nNA\n", {"skip_blank_lines": False}),
        ('a\\,b,c\n1,"x\\"y"\n', {"escapechar": "\\"}),
        ("a\n1\n2\n", {"nrows": 0}),
        ("title\n\nname,value\nx,1\n", {"skiprows": 1}),
        ("x,y\nname,value\nx,1\n", {"header": 1}),
    ],
)
def test_options(text, options):
    want = by_pandas(text.encode(), **options)
    for more in ({}, {"portable": True}, {"step": 1}, {"stream_options": {"reference_only": True}}):
        got = by_engine(text.encode(), **options, **more)
        assert same(got, want), (more, want, got)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
def test_encodings(encoding):
    data = "näme,b\ncafé,1\nnaïve,2\n".encode(encoding)
    want = by_pandas(data, encoding=encoding)
    assert same(by_engine(data, encoding=encoding), want)
    assert same(by_engine(data), want)  # found by its bytes


def test_values_of_later_chunks_become_variants():
    """A later value that is not of its column's type: dlt's variant columns, as from pandas' chunks."""
    text = b"a,b,c,d\n1,1.5,True,x\n2,2.5,False,y\n3.5,x,1,z\n4,7,0,w\nq,,True,\n5,6,x,v\n"
    want = by_pandas(text, chunksize=2)
    assert {"a__v_double", "a__v_text", "b__v_text", "c__v_text"} < set(want.column_names)
    assert same(by_engine(text, chunksize=2), want)
    assert same(by_engine(text, chunksize=2, stream_options={"reference_only": True}), want)


def test_what_differs_from_pandas():
    """Each is told in docs/csv.md."""
    text = b"a\nx\ny\n007\n1.50\n"  # a text column keeps what is written, whatever a later chunk looks like
    assert by_engine(text, chunksize=2)["a"].to_pylist() == ["x", "y", "007", "1.50"]
    assert by_engine(b"a,b\nx\0y,1\n")["a"].to_pylist() == ["x\0y"]  # pandas cuts text at a NUL
    assert by_engine(b"a\n0.1234567890123456789\n")["a"].to_pylist() == [0.1234567890123456789]  # rounded correctly
    assert by_engine(b"a\n18446744073709551615\n1\n")["a"].to_pylist() == ["18446744073709551615", "1"]  # dlt fails
    big = b"a\n9007199254740993\n\n9007199254740993\n"  # of a bigint column, an integer beside a null stays exact
    seed = [("t", None, -1, [("a", "bigint", 0, 0, 0)])]
    assert by_engine(big, tables=seed, skip_blank_lines=False)["a"].to_pylist() == [
        9007199254740993,
        None,
        9007199254740993,
    ]


def test_columns_keep_the_types_of_the_schema():
    seed = [
        (
            "t",
            None,
            -1,
            [("a", "text", 0, 0, 0), ("b", "double", 0, 0, 0), ("c", "decimal", 0, 10, 2), ("d", "date", 0, 0, 0)],
        )
    ]
    text = b"a,b,c,d\n01,2,1.25,2024-05-06\n,x,3,2024-05-07\n"
    got = by_engine(text, tables=seed)
    assert got["a"].to_pylist() == ["01", None]
    assert got["b"].to_pylist() == [2.0, None] and got["b__v_text"].to_pylist() == [None, "x"]
    assert [str(value) for value in got["c"].to_pylist()] == ["1.25", "3.00"]
    assert [str(value) for value in got["d"].to_pylist()] == ["2024-05-06", "2024-05-07"]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"a,b\n1,2\n1,2,3\n", {}, "expected 2 fields, found 3 in the row at line 3, column 1 (byte 8)"),
        (b'a,b\n1,"2\n3', {}, "the file ends inside quotes; the row begins at line 2, column 1 (byte 4)"),
        (b"", {}, "the file has no row of column names"),
        (
            b"a\nx\xff\n",
            {"encoding": "utf-8"},
            "text that is not UTF-8 (say which encoding it is) at line 2, column 2 (byte 3)",
        ),
        (b"a,b\n1,2\nx,2\n", {"dtype": {"a": "int"}}, "'x' is not an integer, which dtype says column 'a' has"),
        (b"a,b\n1\n", {"ragged": "raise"}, "expected 2 fields, found 1 in the row at line 2, column 1 (byte 4)"),
        (b"a,b\n1,2\n", {"usecols": ["z"]}, "usecols asks for column 'z', which is not there"),
    ],
)
def test_errors_say_where(data, options, message):
    with pytest.raises(_core.Error) as caught:
        by_engine(data, **options)
    assert str(caught.value) == message


def test_long_fields():
    text = b"a,b\n1," + b"x" * (20 << 20) + b'\n2,"' + b'y""\n' * (1 << 20) + b'"\n'
    got = by_engine(text, step=1 << 20)
    assert [len(value) for value in got["b"].to_pylist()] == [20 << 20, 3 << 20]


@pytest.mark.parametrize(
    "options",
    [
        {"sep": r"\s+"},
        {"index_col": 0},
        {"converters": {"a": str}},
        {"parse_dates": ["a"]},
        {"usecols": len},
        {"skiprows": [1]},
        {"header": [0, 1]},
        {"dtype": {"a": "category"}},
        {"na_values": {"a": ["x"]}},
        {"skipfooter": 1},
        {"encoding": "cp437"},
        {"anything": 1},
    ],
)
def test_options_that_are_pandas(options):
    with pytest.raises(NotNative):
        native_options(10, options)
