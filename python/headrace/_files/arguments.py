"""Arguments of `filesystem` and its readers: what each may be, in one list. Those that a caller gives are checked when he
gives them, with or without files; those of dlt's configuration when the reader runs.
"""

from __future__ import annotations

import codecs
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dlt.common.typing import ConfigValue, SecretValue
from dlt.extract.resource import DltResource
from typing_extensions import Self

from headrace.exceptions import ConfigurationError

ON_ERROR = ("raise", "skip_file", "skip_row")
ONLY_NEW = ("name", "version", "etag", "hash")
FORMATS = ("avro", "csv", "excel", "json", "jsonl", "orc", "parquet", "text", "wav", "xml")
_DTYPES = ("int", "float", "string", "boolean", "datetime", "date", "duration")
_MOST_FIELDS = 10_000

# Whether a value may be, and what was expected.
_Check = tuple[Callable[[Any], bool], str]


def _one_of(*choices: Any) -> _Check:
    expected = ", ".join("None" if one is None else f"`{one}`" for one in choices)
    return lambda value: any(value is one or (type(value) is type(one) and value == one) for one in choices), (
        f"one of {expected}"
    )


def _whole(least: int) -> _Check:
    return lambda value: _is_whole(value, least), f"a whole number, at least {least}"


def _is_whole(value: Any, least: int) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and int(value) >= least


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(one, str) for one in value)


def _or_none(check: _Check) -> _Check:
    may_be, expected = check
    return lambda value: value is None or may_be(value), f"{expected}, or None"


def _is_sheet(value: Any) -> bool:
    return (isinstance(value, str) and value != "") or _is_whole(value, 0)


def _is_sheets(value: Any) -> bool:
    return _is_sheet(value) or (isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_sheet, value)))


def _is_dtypes(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and v in _DTYPES for k, v in value.items())


def _is_fields(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= _MOST_FIELDS:
        return False
    if not all(isinstance(one, (list, tuple)) and len(one) == 2 and _is_whole(one[1], 1) for one in value):
        return False
    names = [name for name, _ in value if name is not None]
    return bool(names) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _is_encoding(value: Any) -> bool:
    try:
        codecs.lookup(value)
    except (LookupError, TypeError):
        return False
    return True


def _is_filters(value: Any) -> bool:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if isinstance(value, pc.Expression):
        return True
    try:
        return isinstance(value, list) and pq.filters_to_expression(value) is not None
    except (ValueError, TypeError):
        return False


_BOOL: _Check = (lambda value: isinstance(value, bool), "True or False")
_TEXT: _Check = (lambda value: isinstance(value, str) and value != "", "a text")
_TEXTS: _Check = (_is_texts, "a list of texts")
_NESTED = _one_of("tables", "keep")

# By argument, or by reader and argument where it is another there.
_CHECKS: dict[str, _Check] = {
    "on_error": _one_of(*ON_ERROR),
    "only_new": _one_of(None, *ONLY_NEW),
    "files_per_page": _whole(1),
    "chunksize": _whole(1),
    "read_parquet.chunksize": _or_none(_whole(1)),
    "nested": _NESTED,
    "read_parquet.nested": _or_none(_NESTED),
    "columns": _or_none(_TEXTS),
    "filters": _or_none((_is_filters, 'an Expression of pyarrow, or `[("column", ">", value), ...]`')),
    "use_pyarrow": _BOOL,
    "record_path": (
        lambda value: isinstance(value, str) and (value == "" or all(value.split("."))),
        "keys with dots between them",
    ),
    "record": (lambda value: isinstance(value, str) and value.strip("/") != "", "an element's name or path"),
    "lists": _TEXTS,
    "attribute_prefix": (lambda value: isinstance(value, str), "a text"),
    "text_key": _TEXT,
    "sheets": (_is_sheets, "a number from 0, a name, a pattern or a list of these"),
    "each_sheet_a_table": _BOOL,
    "header_row": (
        lambda value: value is None or value == "auto" or _is_whole(value, 1),
        "a row from 1, None or `auto`",
    ),
    "table": _or_none(_TEXT),
    "range": _or_none(_TEXT),
    "dtypes": _or_none((_is_dtypes, f"names of columns with one of {', '.join(_DTYPES)} each")),
    "merged": _one_of("first", "fill"),
    "errors": _one_of("null", "raise"),
    "samples": _one_of(None, "column", "frames", "bytes"),
    "levels": _BOOL,
    "mode": _one_of("lines", "file"),
    "fields": _or_none(
        (_is_fields, f"at most {_MOST_FIELDS} pairs of a name of its own, or None, and a width of at least 1")
    ),
    "encoding": _or_none((_is_encoding, "an encoding that Python has")),
    "skip_lines": _whole(0),
    "ragged": _one_of("", "raise", "pad"),
}
_SHOWN = 200  # characters of a value


def check_arguments(reader: str, arguments: Mapping[str, Any]) -> None:
    """Raises `ConfigurationError` for the first argument that the reader does not take; says what it takes."""
    for name, value in arguments.items():
        if value is ConfigValue or value is SecretValue:
            continue  # to be found in dlt's configuration
        if reader == "read_any" and name == "options":
            _check_options(value)
            continue
        check = _CHECKS.get(f"{reader}.{name}") or _CHECKS.get(name)
        if check is not None and not check[0](value):
            shown = value if isinstance(value, str) else repr(value)
            raise ConfigurationError(f"`{name}` of `{reader}`: expected {check[1]}, found `{shown[:_SHOWN]}`")


def _check_options(options: Any) -> None:
    """`options` of `read_any`: arguments of readers, by format."""
    for name, arguments in (options or {}).items():
        if name not in FORMATS:
            raise ConfigurationError(
                f"`options` of `read_any`: no format `{name}`: expected some of {', '.join(FORMATS)}"
            )
        if not isinstance(arguments, Mapping):
            raise ConfigurationError(f"`options` of `read_any`: expected arguments for {name}, found `{arguments!r}`")
        if name == "wav" and arguments.get("samples") == "frames":
            raise ConfigurationError('`options` of `read_any`: samples="frames" makes another table: take `read_wav`')
        try:
            _check_call(f"read_{name}", _function(name), (), arguments)
        except ConfigurationError as error:
            raise ConfigurationError(f"`options` of `read_any`: {error}") from None


def _function(name: str) -> Any:
    from headrace.sources import filesystem as readers

    return getattr(readers, f"_read_{name}")


def _check_call(reader: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Checks the arguments of a call, but for the first, which are the files."""
    signature = inspect.signature(function)
    try:
        given = signature.bind_partial(None, *args, **kwargs).arguments
    except TypeError as error:
        known = list(signature.parameters)[1:]
        raise ConfigurationError(f"`{reader}`: {error}; its arguments are {', '.join(known)}") from None
    if (others := given.pop("pandas_kwargs", None)) is not None:
        _check_pandas(reader, others)
    check_arguments(reader, given)


def _check_pandas(reader: str, options: Mapping[str, Any]) -> None:
    from headrace._files.csv_options import NAMES

    others = [name for name in options if name not in NAMES]
    if not others:
        return
    import pandas as pd  # no need for it where all options are native

    known = inspect.signature(pd.read_csv).parameters
    for name in others:
        if name not in known:
            raise ConfigurationError(f"`{reader}`: neither headrace's reader nor pandas' has an argument `{name}`")


def checked_reader(reader: str, function: Any) -> type[DltResource]:
    """The class of a reader's resource: its arguments are checked when they are given."""

    class Reader(DltResource):
        def bind(self, *args: Any, **kwargs: Any) -> Self:
            _check_call(reader, function, args, kwargs)
            return super().bind(*args, **kwargs)

    return Reader


class FilesystemResource(DltResource):
    """The resource `filesystem`: its arguments are checked when they are given."""

    def bind(self, *args: Any, **kwargs: Any) -> Self:
        """As dlt's. Raises `ConfigurationError`."""
        check_arguments("filesystem", kwargs)
        return super().bind(*args, **kwargs)
