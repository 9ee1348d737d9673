"""Names, hashes, timestamps and coercions of the C leaves against the Python code they follow: dlt, pendulum, hashlib,
pyarrow. Through tests/c/normalize/leaf_tool, a program of a C build (HR_BUILD_DIR). `./dev test --long` sets HR_FULL=1:
the long counts."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
import pytest
from dlt.common.data_types.type_helpers import coerce_value, py_type_to_sc_type
from dlt.common.json import custom_pua_decode, custom_pua_encode
from dlt.common.json import json as dlt_json
from dlt.common.normalizers.json.helpers import get_nested_row_hash
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.common.schema.detections import is_iso_timestamp
from dlt.common.time import ensure_datetime_in_tz, normalize_timezone, parse_iso_like_datetime

_BUILD = Path(os.environ.get("HR_BUILD_DIR", Path(__file__).parents[2] / "build"))
_TOOL = _BUILD / "tests" / "c" / "normalize" / "leaf_tool"
_FULL = os.environ.get("HR_FULL") == "1"

pytestmark = pytest.mark.skipif(not _TOOL.exists(), reason=f"no C build in {_BUILD} (HR_BUILD_DIR)")


def count(quick: int, full: int) -> int:
    """How many random cases."""
    return full if _FULL else quick


def ask(commands: list[str]) -> list[str]:
    """The tool's answers, one a command."""
    done = subprocess.run([_TOOL], input="\n".join([*commands, ""]), capture_output=True, text=True, check=True)
    answers = done.stdout.splitlines()
    assert len(answers) == len(commands)
    return answers


def hexed(text: str | bytes) -> str:
    """A word of a command."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return data.hex() or "-"


def unhexed(word: str) -> bytes:
    """Bytes of an answer."""
    return bytes.fromhex("" if word == "-" else word)


def random_texts(rng: random.Random, alphabets: list[str], n: int, longest: int) -> Iterator[str]:
    """n texts, each of the characters of one alphabet."""
    for _ in range(n):
        alphabet = rng.choice(alphabets)
        yield "".join(rng.choice(alphabet) for _ in range(rng.randrange(longest)))


# ---------------------------------------------------------------------------------------------------- hashes


def test_shake128_equals_hashlib() -> None:
    rng = random.Random(1)
    sizes = [*range(180), 335, 336, 337, 503, 504, 505, *(rng.randrange(2000) for _ in range(count(200, 5000)))]
    messages = [rng.randbytes(size) for size in sizes]
    for n_out in (1, 4, 10, 32, 167, 168, 169, 400):
        got = ask([f"shake {n_out} {hexed(m)}" for m in messages])
        assert got == [hashlib.shake_128(m).hexdigest(n_out) for m in messages]
    for n_out in (1, 4, 10, 32, 168):
        eights = [[rng.choice(messages) for _ in range(8)] for _ in range(count(300, 5000))]
        eights += [[rng.randbytes(rng.randrange(168)) for _ in range(8)] for _ in range(count(300, 5000))]
        got = ask([f"shake8 {n_out} " + " ".join(map(hexed, eight)) for eight in eights])
        assert got == [" ".join(hashlib.shake_128(m).hexdigest(n_out) for m in eight) for eight in eights]


def test_nested_row_id_equals_dlts() -> None:
    assert get_nested_row_hash("abc", "items__tags", 0) == "Ihjej8ClZ6IIEw"
    digest = ask([f"shake 10 {hexed('abc_items__tags_0')}"])[0]
    assert digest == "2218de8fc0a567a20813"


# ---------------------------------------------------------------------------------------------------- names

# Letters of both cases, digits, what is translated, what is dropped, other scripts' digits and spaces, long code points.
_NAME_ALPHABETS = [
    "aAbBzZ019_",
    "aB_",
    "aAzZ01 _-+*@|.$",
    "abcXYZ__ \t\n\x1c\x85\xa0\u2003\u3000",
    "aA1_٣४９𝟘éßİıſKǅ日𐍈😀\u0130\u1680\ufeff\u200b\x00",
    "ab1\ud800\udfff_",
    "".join(map(chr, range(1, 256))),
]


def _is_storable(text: str) -> bool:
    """dlt hashes names as UTF-8, so it has no short names with lone surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


@pytest.mark.parametrize("max_length", [0, 10, 20, 31, 63, 128])
def test_names_equal_dlts(max_length: int) -> None:
    naming = NamingConvention(max_length or None)
    rng = random.Random(max_length)
    texts = ["", " ", "__", "___", "_", "x__", "a____b", "a___b", "\xa0__\u3000", "A" * 70, "é" * 70, "1" * 70]
    texts += random_texts(rng, _NAME_ALPHABETS, count(5000, 40_000), 100 if max_length else 25)
    texts = [text for text in texts if max_length == 0 or _is_storable(text)]
    want = [naming.normalize_path(text) for text in texts]
    assert [unhexed(a).decode() for a in ask([f"path {max_length} {hexed(t)}" for t in texts])] == want
    want = [name if text and not text.isspace() else "_empty" for text, name in zip(texts, want, strict=True)]
    assert [unhexed(a).decode() for a in ask([f"column {max_length} {hexed(t)}" for t in texts])] == want


@pytest.mark.parametrize("max_length", [0, 10, 31, 63])
def test_joined_names_equal_dlts(max_length: int) -> None:
    naming = NamingConvention(max_length or None)
    rng = random.Random(max_length + 1)
    cases = []
    for _ in range(count(3000, 40_000)):
        cases.append(list(random_texts(rng, ["ab_", "a٣é \u3000", " "], rng.randrange(1, 6), 30)))
    got = ask([f"join {max_length} " + " ".join(map(hexed, parts)) for parts in cases])
    assert [unhexed(a).decode() for a in got] == [naming.shorten_fragments(*parts) for parts in cases]


# ---------------------------------------------------------------------------------------------------- timestamps


def iso_answer(text: str) -> str:
    """What the tool should say of a text, from dlt and pendulum."""
    try:
        value = parse_iso_like_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return "none"
    if isinstance(value, datetime.datetime):
        kind, date, time = "dt", (value.year, value.month, value.day), value
    elif isinstance(value, datetime.date):
        kind, date, time = "date", (value.year, value.month, value.day), None
    else:
        kind, date, time = "time", (0, 1, 1), value
    clock = (time.hour, time.minute, time.second, time.microsecond) if time else (0, 0, 0, 0)
    zone = time.tzinfo if time else None
    found = re.search(r"FixedTimezone\((-?\d+)", repr(zone))  # utcoffset() refuses 24 hours and more
    offset = "none" if zone is None else found[1] if found else "0"
    out = [kind, *date, *clock, offset]
    if kind != "time":
        try:
            out.append(int(micros_of(ensure_datetime_in_tz(text))))
        except (ValueError, OverflowError):
            out.append("range")
    return " ".join(map(str, out))


def micros_of(value: datetime.datetime) -> int:
    """Microseconds since 1970."""
    return (value - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def iso_grid() -> list[str]:
    """Dates by separators by times by zones."""
    dates = ["2024-01-15", "2024-02-29", "2023-02-29", "0001-01-01", "0000-01-01", "9999-12-31", "2024-12", "2024-1-5",
             "20240115", "2024015", "2024-366", "2023-366", "2024-000", "2024-W01", "2024-W01-1", "2020-W53-7", "2024W017",
             "2024-W53-1", "2024-W01-0", "2024-W01-8", "0001-W01-0", "9999-W52-7", "2024", "24-01-15", "2024/01/15",
             "2024:01:15", "2024/0115", "202401", "2024-01-00", "2024-13-01", "٢٠٢٤/01/15", "",
             "2024-01-32", "2024-W00-1", "0000", "+2024-01-15", "2024-01-15 "]  # fmt: skip
    separators = ["T", " ", "", "t", "  ", "\t"]
    times = ["10:11:12", "10:11", "10", "101112", "1011", "24:00:00", "23:59:60", "00:60:00", "10:11:12.5", "10:11:12,123456",
             "10:11:12.1234567", "101112.25", "10:1112", "1011:12", "1:2", "1:2:3", "1:2:3|4", "10:", "10:11:", "10:11:12.",
             "10:11:12.1234567890", "10:11:12 ", "٣:11", "25:11", "", "9:5.25"]  # fmt: skip
    zones = ["", "Z", "z", "+02:00", "-02:00", "+0200", "+02", "-99:99", "+24:00", "+23:59", "-24:00", "+24:01", "+2", "+02:0",
             " +02:00", "+02:00:00", "+12:60", "ZZ", "+", "-00:00"]  # fmt: skip
    return ["".join(parts) for parts in product(dates, separators, times, zones)]


def iso_mutations(rng: random.Random, n: int) -> Iterator[str]:
    """Valid forms with characters replaced, removed, doubled or swapped."""
    seeds = ["2024-01-15T10:11:12.345Z", "2024-01-15T10:11:12+02:00", "2024-01-15 10:11:12.123456-11:30", "20240115T101112Z",
             "2024-W03-1T10:11", "2024-015T10:11:12", "2024/01/15 1:2:3.5", "2024 10:11", "2024-01-15", "10:11:12.5", "T101112",
             "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "P1Y2M", "2024-01-15/2025"]  # fmt: skip
    for _ in range(n):
        text = list(rng.choice(seeds))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            at = rng.randrange(len(text)) if text else 0
            what = rng.randrange(4)
            if what == 0 and text:
                text[at] = rng.choice("0123456789-:.,/ TZWtz+|P\n\x00٣é")
            elif what == 1 and text:
                del text[at]
            elif what == 2:
                text.insert(at, rng.choice("0123456789-:. TZW+"))
            elif text:
                text[at] = rng.choice("0123456789")
        yield "".join(text)


def test_iso_texts_equal_dlts() -> None:
    rng = random.Random(2)
    grid = iso_grid()
    texts = ["", "now", "1705313471", "1705313471.5", "P1D", "2024 10:11\n", "2024-01-15T10:11:12.345Z\n"]
    texts += grid if _FULL else rng.sample(grid, 20_000)
    texts += iso_mutations(rng, count(30_000, 400_000))
    texts += random_texts(rng, ["0123456789", "0123456789-:TZ .", "0123/: .|,"], count(10_000, 200_000), 30)
    for text, got in zip(texts, ask([f"iso {hexed(text)}" for text in texts]), strict=True):
        assert got == iso_answer(text), text
        assert got.startswith("dt") == (is_iso_timestamp(str, text) == "timestamp"), text


# ---------------------------------------------------------------------------------------------------- doubles


def test_doubles_equal_pythons() -> None:
    """Read from text, and written as Python and as orjson write them: random bit patterns and edges."""
    rng = random.Random(3)
    check_doubles([rng.uniform(-1e6, 1e6) for _ in range(1000)])
    check_doubles([float(10**i) for i in range(300)] + [2.0**-i for i in range(1075)])
    left = count(5000, 10_000_000)
    while left > 0:
        bits = rng.randbytes(8 * min(left, 100_000))
        check_doubles(list(struct.unpack(f"<{len(bits) // 8}d", bits)))
        left -= 100_000


def check_doubles(values: list[float]) -> None:
    """Asserts what the tool makes of them; those that are no number are left out."""
    values = [value for value in values if value - value == 0]
    answers = ask([f"double {hexed(repr(value).replace('+', ''))}" for value in values])
    for value, got in zip(values, answers, strict=True):
        want = f"{struct.unpack('<Q', struct.pack('<d', value))[0]:016x} {value!r} {orjson.dumps(value).decode()}"
        assert got == want


# ---------------------------------------------------------------------------------------------------- coercion

FAILS, VARIANT = "fails", "variant"
_ARROW = {
    "text": pa.string(), "bigint": pa.int64(), "double": pa.float64(), "bool": pa.bool_(), "json": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"), "date": pa.date32(), "time": pa.time64("us"), "binary": pa.binary(),
}  # fmt: skip
DECIMALS = [(38, 9), (10, 2), (38, 0), (5, 5)]
TYPES = [*((name, 0, 0) for name in _ARROW), *(("decimal", *size) for size in DECIMALS)]


def coerced(column_type: str, precision: int, scale: int, value: Any) -> str:
    """What dlt makes of the value: "ok ..." as the tool says it, or FAILS or VARIANT."""
    try:
        value = orjson.loads(orjson.dumps(value))  # extract and normalize
    except TypeError:
        return FAILS
    typed = custom_pua_decode(value)
    if typed is not value:
        if (
            isinstance(typed, UUID)
            or (isinstance(typed, datetime.time) and typed.tzinfo is not None)
            or custom_pua_encode(typed) != value
        ):
            return FAILS  # or not as dlt writes it: headrace leaves it to dlt
        value = typed
    try:
        out = coerce_value(column_type, py_type_to_sc_type(type(value)), value)
    except (ValueError, SyntaxError):
        return VARIANT
    except (OSError, TypeError):
        return FAILS
    try:
        if column_type == "timestamp":
            out = normalize_timezone(out, True)
        if column_type == "json" and out is not None and not isinstance(out, str):
            out = dlt_json.dumps(out)
        array = pa.array([out], type=_ARROW.get(column_type) or pa.decimal128(precision, scale))
    except (ValueError, OverflowError, TypeError, pa.ArrowException):
        return FAILS
    if array.null_count:
        return FAILS
    return "ok " + _cell(column_type, array)


def _cell(column_type: str, array: pa.Array) -> str:
    value = array[0].as_py()
    match column_type:
        case "text" | "json":
            return hexed(value)
        case "binary":
            return hexed(value)
        case "decimal":
            return array.buffers()[1].to_pybytes()[:16].hex()
        case "double":
            return f"{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}"
        case "date":
            return str(array.cast(pa.int32())[0].as_py())
        case "timestamp" | "time":
            return str(array.cast(pa.int64())[0].as_py())
        case _:
            return str(int(value))


# What dlt fails on but headrace makes a variant column: exceptions that dlt's coercion does not expect, and nested values that
# then fail as the variant's json.
def _may_be_variant(column_type: str, value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return column_type not in ("json", "text")
    if column_type in ("timestamp", "date"):
        return isinstance(value, (int, float, str))  # OSError of the C library; TypeError of pendulum on "12:"
    return column_type == "time" and isinstance(value, str)


def _reads_otherwise(column_type: str, value: Any) -> bool:
    """What older Pythons and pyarrows take that the newer, which the engine follows, do not."""
    if column_type == "binary" and sys.version_info < (3, 11):  # base64 that begins with its padding
        return isinstance(value, str) and value.strip().startswith("=")
    old_pyarrow = int(pa.__version__.split(".")[0]) < 26  # a double below the smallest normal one is zero
    return column_type == "decimal" and old_pyarrow and isinstance(value, float) and 0 < abs(value) < 2.3e-308


def check_coercion(column_type: str, precision: int, scale: int, value: Any, got: str) -> None:
    """Asserts what the tool said of one value."""
    want = coerced(column_type, precision, scale, value)
    case = f"{value!r} into {column_type}({precision}, {scale}): dlt {want}, headrace {got}"
    if _reads_otherwise(column_type, value):
        return
    if want != FAILS:
        assert got == want, case
    elif got == VARIANT:
        assert _may_be_variant(column_type, value), case
    elif got.startswith("ok "):  # digits that pyarrow cannot take, of a value that fits
        assert column_type == "decimal", case
    else:
        assert got.split(" ", 1)[0].isdigit(), case


def check_all(values: list[Any], types: list[tuple[str, int, int]]) -> None:
    """Asserts every value into every type."""
    cases = [(*column, value) for value in values for column in types]
    commands = [
        f"coerce {name} {precision} {scale} {hexed(json.dumps(value))}" for name, precision, scale, value in cases
    ]
    for case, got in zip(cases, ask(commands), strict=True):
        check_coercion(*case, got)


VALUES: list[Any] = [
    True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30,
    1705313471, -62135596800, -62135596801, 253402300799, 253402300800, 10**17, 0.0, -0.0, 1.0, 1.5, -1.5, 1e15,
    1e16, 1e17, 1e20, 1e-5, 1e-7, 1e300, 5e-324, 9223372036854775807.0, 9223372036854774784.0,
    -9223372036854775808.0, 1705313471.5, 1705313471.123456, 0.1, -0.1, 1e18, -1e-20, 253402300799.9999,
    253402300799.9999999, 0.000000001, 0.0000000001, 123456789.125, 12345.67, 999.995, {}, [], {"a": 1},
    {"b": [1, 2.0, None, True, "é\n\"\\\x7f\u2028"], "a": {}}, [[]], {"a": 1e16, "b": 1e-7, "c": 2**64 - 1},
    {"a": 2**64}, {"a": "\uf026abc"}, {"\uf026abc": 1}, ["\uf02e1"], ["\uf026"],
]  # fmt: skip
TEXTS = [
    "", " ", "abc", "é", "日本", "\x00", "a\x00b", "yes", "YES", "No", "t", "T", "F", "n", "0", "1", "true", "false",
    "True", "TRUE", "on", "truE ", "null", "None", "nan", "NaN", "-nan", "+nan", "inf", "-inf", "Infinity",
    "infinit", "snan", "nan12", "sNaN1", " 12 ", "\t12\n", "\xa012\u3000", "\x1c12\x1f", "12 3", "+12", "-12",
    "--12", "+ 12", "1_000", "1__0", "_1", "1_", "0x1F", "0X1F", "0xff_ff", "0x", "0x_1", "0x0x1f", "0x -5", "0x+5",
    "-0x5", " 0x10 ", "0x1\x1c", "0x\xa05", "0xé", "0x1.8p3", "0b1", "0o7", "007", "-0", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "9" * 4300,
    "9" * 4301, "0" * 4301, "1" * 400, "0x" + "f" * 255, "0x" + "f" * 256, "0x" + "f" * 257, "0x8000000000000000",
    "0x7fffffffffffffff", "0x" + "1" + "0" * 13 + "8", "0x" + "1" + "0" * 13 + "80000001",
    "0x" + "1" + "0" * 13 + "18", "0x" + "8" * 300, "0x-ff", "٣", "१२.५", "９e３", "𝟘", "1٣", "1.5", ".5", "5.", ".",
    "5.e3", ".e3", "1e5", "1E+5", "1e", "1e+", "1.2.3", "1e400", "-1e400", "1e-400", "1.7976931348623159e308",
    "1_0.5_0", "1._5", "1_.5", "1e1_0", "1_e5", "0.1" + "0" * 500 + "1", "1,5", "12abc", "1e99999999999999999999",
    "0e99999999999999999999", "1e-99999999999999999999", "0.000000001", "0.0000000001", "1.0000000000",
    "12345678901234567890123456789.123456789", "1e28", "1e29", "123456789012345678901234567890.1", "9" * 38,
    "1" + "0" * 38, "0." + "0" * 60, "1e-9", "10e-10", "1e-10", "0x" + "f" * 24, "0x" + "f" * 32, "0x" + "f" * 33,
    "1 e5", "1_0_", "__1", "e5", "+", "-", "+.", "+-1", "1e5_0", "1e+_5", "-.5", "-5.", "99999999.99",
    "100000000.00", "99999999.995", "2024-01-15T10:11:12Z", "2024-01-15T10:11:12.123456789+02:00",
    "2024-01-15 10:11:12", "2024-01-15", "20240115", "2024-W03-1", "2024W031", "2024-015", "2024", "10:11",
    "10:11:12.5", "T10:11", "10:11Z", "10:11+02:00", "10:11:12-03:30", "10:11+24:00", "10:11-25:00", "T101112,25",
    "2024-01-15T10:11:12+24:00", "2024-01-15T10:11:12-24:00", "2024-01-15T10:11:12-99:99",
    "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999-00:01", "0001-01-01", "9999-12-31",
    "1969-12-31T23:59:59.999999Z", "2024-01-15T23:59:59-05:00", "12:", "2024 1:", "2024 1:2", "2024/01/15 1:2",
    "1705313471", "1705313471.25", "1611111111", "1612010000", "2024W01199", "2024W01099", "20240115\u00e9", "-1.5",
    "1e3", "1_0", " 2024-01-15", "253402300800", "1e18", "1e30", "P1D", "YWJj", "YWI=", "YQ==", "YQ=", "YQ", "Y",
    "YQ==x", "YQ==\n", "YW Jj", "YWJj=", "YWJj==", "=", "====", "Y=Q=", "YQ=x", "Y===", "ab+/", "ab-_",
    "0xdead beef", "0xDEADBEEF", "0xabc", "0x ", "0xa b", "0xzz", "0xé0", "0X12", "[]", "{}", "[1,2]", '{"a":1}',
    ' { "a" : [ 1 , 2.50, null ] } ', '{"a":1,"b":2,"a":3}', '"abc"', '""', '"a\\n\\u00e9\\ud83d\\ude00"',
    '"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"a\nb"', '"\\x"', '"\\u12"', '"a', "[1,]", "[,1]", "[1 2]",
    "{1:2}", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', "[1]]", "[", "]", "{", "}", "nul", "nulll", "tru",
    "NULL", "-0.0", "-0e0", "01", "1.", "[1e400]", "[1e-400]", "18446744073709551615", "[18446744073709551616]",
    "[-9223372036854775809]", "\ufeff1", "[true,false,null]", "1 2", '[{"a":[{"b":{}}]}]', "[" * 254 + "]" * 254,
    "[" * 255 + "]" * 255, "[" * 1024 + "]" * 1024, "[" * 1025 + "]" * 1025, '"\x7f"', "'a'", "// a", "[1,/**/2]",
    "[1.0,10000000000000000.0,1e16,1e-7,0.00001]", '["\\/\\b\\f\\r\\t\\\\\\""]', '"\\u0000"',
    "[" + ",".join(["1"] * 500) + "]", '{"' + '":1,"'.join(map(str, range(60))) + '":1,"5":7}', "\x0b1", "1\x00",
    "\uf026", "\uf026123", "\uf026abc", "\uf026 1_0 ", "\uf026", "\uf0272024-01-15T10:11:12", "\uf027x",
    "\uf0282024-01-15", "\uf028 heart", "\uf02912345678123456781234567812345678",
    "\uf029{12345678-1234-5678-1234-567812345678}", "\uf029urn:uuid:12345678-1234-5678-1234-567812345678",
    "\uf029qr code", "\uf02a0xdead", "\uf02a0x0Xdead", "\uf02aDEAD", "\uf02axyz", "\uf02a0x", "\uf02bYWJj",
    "\uf02b Tags", "\uf02btag", "\uf02bté", "\uf02bYQ", "\uf02b!", "\uf02c5", "\uf02cx", "\uf02d10:11", "\uf02dT10",
    "\uf02dx", "\uf02e1", "\uf0251", "x\uf0261",
]  # fmt: skip


def test_coercion_table_equals_dlts() -> None:
    check_all([*VALUES, *TEXTS], TYPES)


def test_random_coercions_equal_dlts() -> None:
    rng = random.Random(4)
    texts = list(random_texts(
        rng,
        [
            "0123456789", "01.e+-_ ", "\uf026\uf02a\uf02b\uf029012ab= -:T{}", "0x1fF_ -", "٣1.e_\xa0", "abcYQ=+/",
            "naifNFty ", '[]{}",:1 a', '"\\u0d8e9/b', "tfnrueals[]",
        ],
        count(3000, 60_000),
        14,
    ))  # fmt: skip
    numbers: list[Any] = [rng.randrange(-(2**64), 2**64) >> rng.randrange(64) for _ in range(count(500, 10_000))]
    numbers += [rng.uniform(-1, 1) * 10.0 ** rng.randrange(-12, 25) for _ in range(count(500, 10_000))]
    numbers += [float(rng.randrange(-(10**6), 10**6)) / 4 for _ in range(count(300, 5000))]
    check_all([*texts, *numbers, *iso_mutations(rng, count(2000, 40_000))], TYPES)


def random_json(rng: random.Random, depth: int) -> Any:
    """A nested value."""
    makers: list[Callable[[], Any]] = [
        lambda: rng.randrange(-100, 100),
        lambda: rng.uniform(-1, 1) * 10.0 ** rng.randrange(-30, 30),
        lambda: rng.choice([None, True, False, "", 2**64 - 1, -(2**63)]),
        lambda: "".join(rng.choice('aé"\\\n\x01日😀/') for _ in range(rng.randrange(6))),
    ]
    if depth > 0:
        makers += 2 * [
            lambda: [random_json(rng, depth - 1) for _ in range(rng.randrange(4))],
            lambda: {
                rng.choice(["a", "b", "é", '"', "\n"]): random_json(rng, depth - 1) for _ in range(rng.randrange(4))
            },
        ]
    return rng.choice(makers)()


def test_json_texts_equal_dlts() -> None:
    rng = random.Random(5)
    texts = []
    for _ in range(count(2000, 60_000)):
        text = json.dumps(random_json(rng, 4), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
        if rng.random() < 0.5 and text:
            at = rng.randrange(len(text))
            text = (
                text[:at]
                + rng.choice(["", "x", ",", "]", "}", '"', "0", "-", "\\", " ", "\x1f"])
                + text[at + rng.randrange(2) :]
            )
        texts.append(text)
    check_all(texts, [("json", 0, 0)])
    check_all(
        [v for v in (random_json(rng, 4) for _ in range(count(2000, 30_000))) if v is not None],
        [("json", 0, 0), ("text", 0, 0)],
    )


def test_inferred_types_equal_dlts() -> None:
    rng = random.Random(6)
    values: list[Any] = [*VALUES, *TEXTS, *iso_mutations(rng, count(2000, 20_000))]
    values = [value for value in values if not isinstance(value, str) or not ("\uf026" <= value[:1] <= "\uf02d")]
    for value, got in zip(values, ask([f"infer {hexed(json.dumps(value))}" for value in values]), strict=True):
        assert got == (is_iso_timestamp(type(value), value) or py_type_to_sc_type(type(value))), value
