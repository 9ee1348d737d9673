"""CSV through pandas and the engine's JSON way, which is held against dlt elsewhere: what the CSV reader must give."""

import io
import random

import orjson
import pandas as pd
import pyarrow as pa
from headrace import _core
from headrace._files.csv_options import native_options


def _engine(workers=2):
    return _core.Engine(workers=workers)


def _stream(engine, tables=None, **options):
    return engine.stream(table="t", tables=tables or [("t", None, -1, [])], load_id="1", selector=[], **options)


def _take(stream):
    stream.finish()
    tables = []
    while (batches := stream.next_batch(10_000)) is not None:
        assert batches is not False
        tables.append(pa.Table.from_batches([pa.record_batch(batches[0])]))
    if not tables:
        return None
    whole = pa.concat_tables(tables, promote_options="default")
    return whole.drop_columns(["_dlt_id", "_dlt_load_id"])


def by_pandas(data: bytes, chunksize=10_000, tables=None, **options):
    """The table of pandas' records as dlt makes it; None: no row. Errors are pandas'."""
    engine = _engine()
    stream = _stream(engine, tables)
    for frame in pd.read_csv(io.BytesIO(data), chunksize=chunksize, **options):
        stream.feed(0, orjson.dumps(frame.to_dict(orient="records"), option=orjson.OPT_NON_STR_KEYS))
    return _take(stream)


def by_engine(data: bytes, chunksize=10_000, tables=None, step=0, stream_options=None, workers=2, **options):
    """The CSV reader's table. step: bytes fed at a time; 0: all."""
    engine = _engine(workers)
    stream = _stream(engine, tables, **(stream_options or {}))
    own = {name: options.pop(name) for name in ("portable", "ragged") if name in options}
    reader = _core.CsvReader(engine, **{**native_options(chunksize, options), **own})
    step = step or len(data) or 1
    for at in range(0, len(data), step):
        left = memoryview(data)[at : at + step]
        while left:
            left = left[reader.feed(stream, 0, left) :]
    while reader.finish(stream, 0):
        pass
    return _take(stream)


def same(got, want):
    """Whether the tables are equal; doubles may differ in their last place, as pandas' do not round correctly."""
    if got is None or want is None:
        return got is want
    if got.schema != want.schema or got.num_rows != want.num_rows:
        return False
    for name in got.column_names:
        a, b = got[name].to_pylist(), want[name].to_pylist()
        if a != b and not (
            pa.types.is_floating(got.schema.field(name).type)
            and all(x == y or (x is not None and y is not None and abs(x - y) <= abs(y) * 1e-15) for x, y in zip(a, b))
        ):
            return False
    return True


_VALUES = {
    "int": lambda r: str(r.choice([0, 1, -1, 7, 123456789, 2**63 - 1, -(2**63), r.randrange(10**6)])),
    "float": lambda r: r.choice(["1.5", "-0.25", "1e5", "1E-3", ".5", "5.", "3.14159", "1e300", "0.1", "2", "-7"]),
    "bool": lambda r: r.choice(["True", "False", "true", "false", "TRUE", "FALSE"]),
    "text": lambda r: "".join(r.choice("ab é\"\n,;x'\r\t #") for _ in range(r.randrange(8))),
    "word": lambda r: r.choice(
        ["x", "yes", "N", "n/a!", "Nanny", "12a", "1_0", "--", "- 1", "+", "1e", "e5", "0x1f", "١"]
    ),
    "time": lambda r: r.choice(["2024-01-02T03:04:05Z", "2024-01-02 03:04:05", "2024-05-06T00:00:00.123+02:00"]),
    "date": lambda r: r.choice(["2024-01-02", "2024/01/02", "20240102"]),
    "null": lambda r: r.choice(["", "NA", "nan", "NULL", "null", "None", "N/A", "#N/A", "<NA>"]),
}


def random_csv(r: random.Random, n_columns=4, n_rows=6, mixed=0.1, quote='"', delimiter=",", end="\n") -> bytes:
    """CSV text that pandas takes: any values, quoted where needed and sometimes where not."""

    def field(text):
        needs = any(c in text for c in f"{quote}{delimiter}\r\n") or (text != "" and text.isspace())
        if not needs and r.random() > 0.15:
            return text
        return quote + text.replace(quote, quote * 2) + quote

    kinds = [r.choice(list(_VALUES)) for _ in range(n_columns)]
    rows = [[field(f"c{i} é" if r.random() < 0.2 else f"c{i}") for i in range(n_columns)]]
    for _ in range(n_rows):
        row = []
        for kind in kinds:
            if r.random() < mixed:
                kind = r.choice(["null", "null", r.choice(list(_VALUES))])
            row.append(field(_VALUES[kind](r)))
        if r.random() < 0.05:
            row = row[: r.randrange(1, n_columns + 1)]
        rows.append(row)
    text = "".join(delimiter.join(row) + end for row in rows)
    return (text if r.random() < 0.7 else text.rstrip("\r\n")).encode()
