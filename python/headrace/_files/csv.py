"""CSV: `read_csv`. The tables that dlt's reader of this name gives (pandas), made by the engine from the file's bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakValueDictionary

from dlt.common import logger

from headrace._extraction import Extraction, current_extraction
from headrace._files.archives import Files
from headrace._files.arguments import check_arguments
from headrace._files.csv_options import NotNative, native_options
from headrace._files.csv_serve import CsvFiles
from headrace._files.opened import open_file
from headrace._files.skips import Skips
from headrace._files.way import NO_EXTRACTION, reason, tell

_MOST_DECISIONS = 100  # older ones are forgotten
# By extraction and resource: what was decided, and who serves it while it does.
_decisions: OrderedDict[tuple[str, str], tuple[dict[str, Any] | None, Skips]] = OrderedDict()
_open: WeakValueDictionary[tuple[str, str], CsvFiles] = WeakValueDictionary()


def _records(items: Iterable[Any], skips: Skips, options: dict[str, Any]) -> Iterator[list[Any]]:
    """The records as Python objects by pandas, a chunk at a time, as dlt's reader gives them."""
    import pandas as pd

    files = Files(items)
    for item in files.taken():
        with skips.guard(item, files) as position, open_file(item) as file:
            for frame in pd.read_csv(file, **options):
                records = frame.to_dict(orient="records")
                yield records
                position.read += len(records)
            file.check_unchanged()
    skips.note()


def _read_csv(
    items: Iterable[Any], /, chunksize: int = 10000, on_error: str = "raise", ragged: str = "", **pandas_kwargs: Any
) -> Any:
    """Reads CSV.

    Args:
        items: A page of files.
        chunksize: Rows of which the values of a column are together integers, numbers, true and false or text.
        on_error: `raise`, `skip_file` or `skip_row`: what happens with a row that has more fields than there are columns,
            or a file that is corrupt.
        ragged: `raise`: rows with fewer fields than there are columns are errors, too; `pad`: what rows have more is left
            out; empty: as in pandas, the short ones end in nulls.
        **pandas_kwargs: Of `pandas.read_csv`. Those that docs/csv.md does not name make pandas read the files.
    """
    check_arguments("read_csv", {"chunksize": chunksize, "ragged": ragged})
    at = current_extraction()
    for_pandas = {"header": "infer", "chunksize": chunksize, **pandas_kwargs}
    if for_pandas.get("dialect") == "sniff":  # of what that finds, pandas knows the delimiter
        del for_pandas["dialect"]
        for_pandas = {"sep": None, "engine": "python", **for_pandas}
    if at is None:
        logger.info(f"headrace: `read_csv` gives Python objects: {NO_EXTRACTION}")
        return _records(items, Skips("read_csv", on_error), for_pandas)
    options, skips = _decided(at, chunksize, on_error, ragged, pandas_kwargs)
    if options is None:
        return _records(items, skips, for_pandas)
    key = (at.key, at.resource.name)
    files = _open.get(key)
    if files is not None and files.is_open:
        files.add(items)
        return None
    files = _open[key] = CsvFiles(at, skips, options)
    files.add(items)
    return files.items()


def _decided(
    at: Extraction, chunksize: int, on_error: str, ragged: str, pandas_kwargs: dict[str, Any]
) -> tuple[dict[str, Any] | None, Skips]:
    """The engine's options in this extraction (None: the records become Python objects), and what it leaves out."""
    key = (at.key, at.resource.name)
    if key not in _decisions:
        why = reason(at)
        options = None
        try:
            options = native_options(chunksize, pandas_kwargs)
            options["ragged"] = ragged or ("skip" if on_error == "skip_row" else options.get("ragged", ""))
        except NotNative as ex:
            why = why or f"pandas reads the files for the option {ex}"
        tell(at, why)
        _decisions[key] = (None if why is not None else options, Skips(at.resource.name, on_error))
        while len(_decisions) > _MOST_DECISIONS:
            _decisions.popitem(last=False)
    return _decisions[key]
