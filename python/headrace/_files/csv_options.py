"""Options of `pandas.read_csv` as the engine's CSV reader takes them."""

from __future__ import annotations

import codecs
import csv
from collections import defaultdict
from collections.abc import Callable
from typing import Any

# what pandas takes for null by default
NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)
_CODECS = {
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8",
    "utf-16": "",  # by its byte order mark
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "iso8859-1": "iso-8859-1",
    "cp1252": "windows-1252",
}
_KINDS = {
    **dict.fromkeys(("str", "string", "object", "string[pyarrow]", "string[python]"), "text"),
    **dict.fromkeys(("int", "int64", "Int64", "int32", "Int32"), "int"),
    **dict.fromkeys(("float", "float64", "Float64", "double"), "float"),
    **dict.fromkeys(("bool", "boolean"), "bool"),
}
# options that change nothing here, whatever they are
_NO_MATTER = {"low_memory", "memory_map", "cache_dates", "verbose", "iterator", "compression", "storage_options"}
# options that are native as long as they have this value
_ONLY = {
    "index_col": (None,),
    "converters": (None,),
    "true_values": (None,),
    "false_values": (None,),
    "skipfooter": (0,),
    "parse_dates": (None, False),
    "date_format": (None,),
    "dayfirst": (False,),
    "lineterminator": (None,),
    "encoding_errors": (None, "strict"),
    "dialect": (None,),
    "delim_whitespace": (False,),
    "float_precision": (None, "high", "round_trip"),
    "engine": (None, "c", "python"),
}


# pandas' names of what `dialect="sniff"` finds, and ours
_FOUND = {
    **dict.fromkeys(("sep", "delimiter"), "delimiter"),
    **dict.fromkeys(("quotechar", "quoting"), "quote"),
    **dict.fromkeys(("header", "names"), "header"),
    "decimal": "decimal",
    "thousands": "thousands",
}


class NotNative(Exception):
    """An option that pandas itself must see to; the text says which."""


def native_options(chunksize: int, given: dict[str, Any]) -> dict[str, Any]:
    """The engine's options for pandas' ones. Raises `NotNative`."""
    out: dict[str, Any] = {"chunk_rows": chunksize, "encoding": ""}
    options = {name: value for name, value in given.items() if name not in _NO_MATTER}
    if options.get("dialect") == "sniff":
        del options["dialect"]
        out["dialect"] = tuple(_FOUND[name] for name in options if name in _FOUND)  # what is given is not looked for
    nulls = _nulls(options)
    out["nulls"] = nulls
    _columns(options, out)
    for name, value in options.items():
        if name in _ONLY:
            if not any(value is one or (type(value) is type(one) and value == one) for one in _ONLY[name]):
                raise NotNative(f"{name}={value!r}")
        elif name in _EACH:
            _EACH[name](value, out)
        else:
            raise NotNative(name)
    return out


def _nulls(options: dict[str, Any]) -> tuple[str, ...]:
    values = options.pop("na_values", None)
    keep = options.pop("keep_default_na", True)
    if not options.pop("na_filter", True):
        return ()
    values = [values] if isinstance(values, str) else [] if values is None else values
    if isinstance(values, dict) or not all(isinstance(value, str) for value in values):
        raise NotNative("na_values that are no texts, or by column")
    return tuple(dict.fromkeys((*(NULLS if keep else ()), *values)))


def _columns(options: dict[str, Any], out: dict[str, Any]) -> None:
    """`header`, `names` and `usecols` depend on each other."""
    names, header, use = options.pop("names", None), options.pop("header", "infer"), options.pop("usecols", None)
    if names is not None:
        names = list(names)
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names) or use is not None:
            raise NotNative("names with usecols, or that are no different texts")
        out["names"] = tuple(names)
    if header == "infer":
        header = 0 if names is None else None
    if header is not None and (isinstance(header, bool) or not isinstance(header, int) or header < 0):
        raise NotNative(f"header={header!r}")
    out["header"] = -1 if header is None else header
    if use is None:
        return
    use = list(use) if isinstance(use, (list, tuple, set)) else [None]
    if all(isinstance(one, str) for one in use) and header is not None:
        out["use_names"] = tuple(use)
    elif all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in use):
        out["use_places"] = tuple(use)
    else:
        raise NotNative("usecols")


def _char(name: str) -> Callable[[Any, dict[str, Any]], None]:
    def put(value: Any, out: dict[str, Any]) -> None:
        if value is not None and (
            not isinstance(value, str) or len(value) != 1 or ord(value) >= 128 or value in "\r\n"
        ):
            raise NotNative(f"{name}={value!r}")
        out[name] = value

    return put


def _delimiter(value: Any, out: dict[str, Any]) -> None:
    if value is None:
        out["sniff"] = True
        return
    _char("delimiter")(value, out)


def _plain(name: str, kind: type) -> Callable[[Any, dict[str, Any]], None]:
    def put(value: Any, out: dict[str, Any]) -> None:
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise NotNative(f"{name}={value!r}")
        out[name] = value

    return put


def _quoting(value: Any, out: dict[str, Any]) -> None:
    if value == csv.QUOTE_NONE:
        out["quote"] = None
    elif value not in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        raise NotNative(f"quoting={value!r}")


def _quote(value: Any, out: dict[str, Any]) -> None:
    if "quote" not in out:  # else QUOTE_NONE
        _char("quote")(value, out)


def _max_rows(value: Any, out: dict[str, Any]) -> None:
    if value is not None:
        _plain("max_rows", int)(value, out)


def _encoding(value: Any, out: dict[str, Any]) -> None:
    if value is None:
        return
    try:
        out["encoding"] = _CODECS[codecs.lookup(value).name]
    except (KeyError, LookupError):
        raise NotNative(f"encoding={value!r}") from None


def _dtype(value: Any, out: dict[str, Any]) -> None:
    if isinstance(value, defaultdict):
        raise NotNative("dtype with a default")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise NotNative("dtype by place")
        out["kinds"] = tuple((name, _kind(of)) for name, of in value.items())
    elif value is not None:
        out["kind"] = _kind(value)


def _kind(dtype: Any) -> str:
    name = dtype.__name__ if isinstance(dtype, type) else str(dtype)
    if name not in _KINDS:
        raise NotNative(f"dtype={name}")
    return _KINDS[name]


def _bad_lines(value: Any, out: dict[str, Any]) -> None:
    ways = {"error": "", "skip": "skip", "warn": "skip"}
    if not isinstance(value, str) or value not in ways:
        raise NotNative("on_bad_lines")
    out["ragged"] = ways[value]


def _thousands(value: Any, out: dict[str, Any]) -> None:
    _char("thousands")(value, out)


_EACH: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "sep": _delimiter,
    "delimiter": lambda value, out: _delimiter(value, out) if value is not None else None,
    "quoting": _quoting,
    "quotechar": _quote,
    "escapechar": _char("escape"),
    "comment": _char("comment"),
    "decimal": _char("decimal"),
    "thousands": _thousands,
    "doublequote": _plain("doublequote", bool),
    "skipinitialspace": lambda value, out: _plain("skip_space", bool)(value, out),
    "skip_blank_lines": _plain("skip_blank_lines", bool),
    "skiprows": lambda value, out: _plain("skip_rows", int)(value, out) if value is not None else None,
    "nrows": _max_rows,
    "encoding": _encoding,
    "dtype": _dtype,
    "on_bad_lines": _bad_lines,
}
# options that are native, for some values at least
NAMES = frozenset(
    (*_EACH, *_NO_MATTER, *_ONLY, "na_values", "keep_default_na", "na_filter", "names", "header", "usecols")
)
