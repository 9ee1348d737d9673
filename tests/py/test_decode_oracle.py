"""The decoder and the JSON writer against simplejson, orjson and Python's float, by a C program that runs cases.

Without the extension: `HR_BUILD_DIR` (default `build`) is a meson build folder. `HR_ORACLE_CASES` multiplies the number
of random cases.
"""

from __future__ import annotations

import json
import math
import os
import random
import struct
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
import simplejson

ROOT = Path(__file__).parent.parent.parent
TOOL = Path(os.environ.get("HR_BUILD_DIR", ROOT / "build")) / "tests" / "c" / "decode" / "decode_tool"
TIMES = int(os.environ.get("HR_ORACLE_CASES", "1"))
SORT_KEYS, LENIENT, EMPTY_ARRAYS, SKIP_DLT = 1, 2, 4, 8

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason=f"no {TOOL}: build the C tests first")


def run(mode: str, cases: list[bytes], *args: str) -> list[bytes]:
    """The tool's result of each case."""
    stdin = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    out = subprocess.run([str(TOOL), mode, *args], input=stdin, stdout=subprocess.PIPE, check=True).stdout
    results, at = [], 0
    while at < len(out):
        (size,) = struct.unpack_from("<I", out, at)
        results.append(out[at + 4 : at + 4 + size])
        at += 4 + size
    assert len(results) == len(cases)
    return results


# ---- documents

_KEYS = [
    "a",
    "b",
    "id",
    "",
    "é",
    "日本",
    "🎉",
    "Z",
    "aa",
    "a\u0000",
    "_dlt_id",
    "long key of more than eight bytes",
    "a",
]
_SCALARS = [
    *["null", "true", "false", "0", "-0", "1", "-1", "0.0", "-0.0", "1e5", "1E-7", "1e400", "-1e400", "1.50", "1e16"],
    *["123456789", "12345678901234567", "9223372036854775807", "9223372036854775808", "-9223372036854775808"],
    *["-9223372036854775809", "18446744073709551615", "18446744073709551616", "0.1", "1e-400", "5e-324", "1.7e308"],
    *['""', '"x"', '"é"', '"日本語"', '"🎉"', r'"\u00e9"', r'"\ud83c\udf89"', r'"\ud83c"', r'"\udf89\ud83c"', r'"\/"'],
    *[r'"\"\\\b\f\n\r\t"', r'"\u0000\u001f\u007f\u0080"', '"\x7f"', r'"ab\ncdefghijklmnop"', '"2024-01-01T00:00:00Z"'],
    *[f'"{"x" * n}"' for n in (7, 8, 9, 31, 32, 63, 64, 65)],
    *[f'"{"x" * n}\\n{"y" * n}"' for n in (0, 1, 6, 7, 8, 60, 64)],
]


def document(rng: random.Random, depth: int = 0) -> str:
    """A random document as text, with random white space."""
    space = rng.choice(["", "", "", " ", "\n  ", "\t\r\n"])
    kind = rng.random()
    if depth < 6 and kind < 0.25:
        items = [document(rng, depth + 1) for _ in range(rng.choice([0, 1, 2, 3, 9]))]
        return f"[{space}{f'{space},{space}'.join(items)}{space}]"
    if depth < 6 and kind < 0.6:
        keys = rng.choices(_KEYS, k=rng.choice([0, 1, 2, 3, 12, 40] if depth < 2 else [0, 1, 2, 3]))
        if rng.random() < 0.7:
            keys = list(dict.fromkeys(keys))
        members = []
        for key in keys:
            escaped = json.dumps(key, ensure_ascii=rng.random() < 0.3)
            members.append(f"{escaped}{space}:{space}{document(rng, depth + 1)}")
        return f"{{{space}{f'{space},{space}'.join(members)}{space}}}"
    return rng.choice(_SCALARS)


def mutated(rng: random.Random, text: bytes) -> bytes:
    """The text with one to three bytes removed, put in, replaced or moved, or cut."""
    data = bytearray(text)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(data) + 1)
        some = rng.choice(b'{}[]:,"\\0123456789.eE+-tfnu \t\n\r\x00\x0c\x1a\x1fx/\xc3\xa9\xef')
        what = rng.randrange(5)
        if what == 0:
            data[at : at + 1] = b""
        elif what == 1:
            data[at:at] = bytes([some])
        elif what == 2:
            data[at : at + 1] = bytes([some])
        elif what == 3:
            del data[at:]
        else:
            data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.randrange(8)]
    return bytes(data)


def expected(body: bytes) -> tuple[bool, Any]:
    """Whether simplejson takes the body, and its value. One byte order mark is requests', a second is an error."""
    try:
        text = body.decode("utf-8-sig")
        return (False, None) if text.startswith("\ufeff") else (True, simplejson.loads(text))
    except (simplejson.JSONDecodeError, UnicodeDecodeError):
        return False, None


def same(a: Any, b: Any) -> bool:
    """Equal, with types, order of keys and bits of floats."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return bool(a == b)


def orjson_text(value: Any, option: int) -> bytes | None:
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        return None


def bodies(seed: int, n: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(n):
        body = document(rng).encode()
        if rng.random() < 0.1:
            body = b"\xef\xbb\xbf" + body
        yield body
        for _ in range(3):
            yield mutated(rng, body)


@pytest.mark.parametrize("portable", ["0", "1"])
@pytest.mark.parametrize("seed", range(4))
def test_documents_as_simplejson_and_orjson(seed: int, portable: str) -> None:
    cases = list(bodies(seed, 1500 * TIMES))
    lenient = run("write", cases, str(LENIENT), portable)
    plain = run("write", cases, "0", portable)
    sorted_ = run("write", cases, str(SORT_KEYS), portable)
    accepted = 0
    for body, loose, text, text_sorted in zip(cases, lenient, plain, sorted_, strict=True):
        ok, value = expected(body)
        assert (loose[:1] == b"+") == ok, (body, loose)
        if not ok:
            assert text == text_sorted == loose
            offset = int(loose.split()[1])
            assert 0 <= offset <= len(body)
            continue
        accepted += 1
        assert same(json.loads(loose[1:]), value), (body, loose)
        for ours, option in ((text, 0), (text_sorted, orjson.OPT_SORT_KEYS)):
            theirs = orjson_text(value, option)
            assert (ours[1:] if ours[:1] == b"+" else None) == theirs, (body, ours, theirs)
            assert theirs is not None or ours[:7] in (b"!RANGE ", b"!ENCODI")
    assert accepted > len(cases) // 4


def test_empty_arrays_and_left_out_members() -> None:
    body = b'{"a":[1],"_dlt_id":1,"b":{"c":[[]],"_dlt_x":[2]},"_dl":3,"a":[4,{"d":5}]}'
    assert run("write", [body, b"[1]"], str(EMPTY_ARRAYS)) == [
        b'+{"a":[],"_dlt_id":1,"b":{"c":[],"_dlt_x":[]},"_dl":3}',
        b"+[]",
    ]
    assert run("write", [body, b'{"_dlt_id":1}'], str(SKIP_DLT)) == [
        b'+{"a":[4,{"d":5}],"b":{"c":[[]],"_dlt_x":[2]},"_dl":3}',
        b"+{}",
    ]


def test_cases_are_what_python_says() -> None:
    """The cases the C tests use: the verdict is simplejson's, the text orjson's."""
    for line in (ROOT / "tests" / "cases" / "json" / "grammar.tsv").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        verdict, escaped, rest = line.split("\t", 2)
        body = escaped.encode().decode("unicode_escape").encode("latin-1")
        ok, value = expected(body)
        assert (verdict == "OK") == ok, line
        if ok and (theirs := orjson_text(value, 0)) is not None:
            assert rest.encode().decode("unicode_escape").encode("latin-1") == theirs, line


# ---- numbers


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def doubles(rng: random.Random, n: int) -> Iterator[float]:
    """Random bits, decimals with few digits, and what is next to powers of two and ten."""
    for _ in range(n):
        kind = rng.randrange(6)
        if kind == 0:
            value = rng.random() * 10 ** rng.randrange(-5, 6)
        elif kind == 1:
            value = rng.randrange(10 ** rng.randrange(1, 18)) / 10 ** rng.randrange(0, 18)
        elif kind == 2:
            value = float(f"1e{rng.randrange(-324, 309)}")
        elif kind == 3:
            value = math.ldexp(1.0, rng.randrange(-1074, 1024))
        else:
            (value,) = struct.unpack("<d", rng.randbytes(8))
        if kind in (2, 3):
            for _ in range(rng.randrange(3)):
                value = math.nextafter(value, rng.choice([0.0, math.inf]))
        if math.isfinite(value):
            yield rng.choice([value, -value])
    for exponent in range(-1074, 1024):
        value = math.ldexp(1.0, exponent)
        yield from (value, math.nextafter(value, 0.0), math.nextafter(value, math.inf))
    for exponent in range(-323, 309):
        value = float(f"1e{exponent}")
        yield from (value, math.nextafter(value, 0.0), math.nextafter(value, math.inf))
    yield from (struct.unpack("<d", struct.pack("<Q", k))[0] for k in range(1, 2000))


def test_doubles_are_printed_as_python_and_orjson_print_them() -> None:
    values = list(doubles(random.Random(1), 60_000 * TIMES))
    for value, text in zip(values, run("repr", [bits(v) for v in values]), strict=True):
        assert text == f"{value!r}\n".encode() + orjson.dumps(value), (value.hex(), text)


def test_what_is_not_finite_is_printed() -> None:
    assert run("repr", [bits(v) for v in (math.inf, -math.inf, math.nan)]) == [
        b"inf\nnull",
        b"-inf\nnull",
        b"nan\nnull",
    ]


def midpoint(rng: random.Random) -> str:
    """A decimal that is exactly half-way between two doubles, or next to it; up to 770 digits."""
    (value,) = struct.unpack("<d", struct.pack("<Q", rng.choice([rng.randrange(1 << 52), rng.randrange(2047 << 52)])))
    above = math.nextafter(value, math.inf)
    if math.isinf(above):
        return "1.7976931348623158e308"
    middle = (Fraction(value) + Fraction(above)) / 2
    digits = str(middle.numerator * 10**1100 // middle.denominator)
    text = digits.rstrip("0")
    exponent = len(digits) - len(text) - 1100
    if rng.random() < 0.3:
        text = str(int(text) - 1)
    behind = rng.choice(["", "", "0", "1", "00000001"])
    return f"{text}{behind}e{exponent - len(behind)}"


def decimals(rng: random.Random, n: int) -> Iterator[str]:
    for _ in range(n):
        kind = rng.randrange(6)
        if kind == 0:
            yield repr(struct.unpack("<d", rng.randbytes(8))[0])
        elif kind == 1:
            digits = "".join(rng.choices("0123456789", k=rng.choice([1, 5, 8, 15, 16, 17, 18, 19, 20, 21, 40])))
            yield f"{digits}.{rng.randrange(10**9)}e{rng.randrange(-345, 310)}"
        elif kind == 2:
            yield f"0.{'0' * rng.randrange(30)}{rng.randrange(10**18)}"
        elif kind == 3:
            yield f"{rng.randrange(10 ** rng.randrange(1, 25))}.{rng.randrange(10 ** rng.randrange(1, 25))}"
        elif kind == 4:
            yield f"{rng.randrange(10**17)}e{rng.randrange(-30, 30)}"
        else:
            yield f"0.{'0' * rng.randrange(500)}{rng.randrange(10**30)}E+{rng.randrange(500)}"
    for _ in range(n // 20):
        yield midpoint(rng)


def canonical(text: str) -> str | None:
    """The number as JSON wants it: no leading zeros, not inf or nan."""
    if "n" in text:
        return None
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    head = text.lstrip("0")
    return sign + (head if head[:1].isdigit() else "0" + head)


def test_doubles_are_read_as_python_reads_them() -> None:
    texts = [t for text in decimals(random.Random(2), 40_000 * TIMES) if (t := canonical(text)) is not None]
    for text, got in zip(texts, run("parse", [t.encode() for t in texts]), strict=True):
        assert got == bits(float(text)), (text, struct.unpack("<d", got)[0], float(text))
    texts = [t if set(t) & set(".eE") else t + ".0" for t in texts]
    (got,) = run("numbers", [f"[{','.join(texts)}]".encode()])
    for i, text in enumerate(texts):
        assert got[9 * i : 9 * i + 9] == b"d" + bits(float(text)), text


def test_integers_are_read_whole() -> None:
    rng = random.Random(3)
    values = [rng.randrange(10 ** rng.randrange(1, 22)) * rng.choice([1, -1]) for _ in range(20_000)]
    values += [sign * (2**k + d) for k in range(66) for d in (-1, 0, 1) for sign in (1, -1)]
    (got,) = run("numbers", [json.dumps(values).encode()])
    for i, value in enumerate(values):
        kind, payload = got[9 * i : 9 * i + 1], got[9 * i + 1 : 9 * i + 9]
        if -(2**63) <= value < 2**63:
            assert (kind, payload) == (b"i", struct.pack("<q", value))
        elif 0 < value < 2**64:
            assert (kind, payload) == (b"u", struct.pack("<Q", value))
        else:
            assert kind == b"b", value
