"""What of dlt's extract and normalize steps ran in the engine, and why the rest did not."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from dlt.normalize.worker import TWorkerRV

    from headrace._rest_api.isolation import Skipped

_MAX_LOADS = 100  # older ones are forgotten


class TableStatus(TypedDict):
    """How a table's records were normalized in one load.

    Attributes:
        native: Whether the engine took them, or some of their files.
        reason: Why it did not take all; None: it did.
        records: Records that the engine took.
        by_dlt: Records among them that dlt took itself (new columns under a contract, typed values, errors).
        received: Records of the extracted files.
        rows: Rows of the table that were made of them.
        discarded: received - rows: records that schema contracts or row filters left out.
        by_rows: Why dlt's writer gets their rows as Python objects; None: the engine writes the load files' text too.
    """

    native: bool
    reason: str | None
    records: int
    by_dlt: int
    received: int
    rows: int
    discarded: int
    by_rows: str | None


class ResourceStatus(TypedDict):
    """How a `rest_api` resource was served in one load.

    Attributes:
        native: Whether the engine fetched it.
        reason: Why it did not; None: it did.
        in_python: What of its work Python did, a line each.
        in_normalize: Why its records are normalized in dlt's normalize step only; None: while they are extracted, or Python
            sees them.
        counts: Of a resource that the engine served: `requests` (repeated ones count), `pages`, `bytes` and `records` that were
            received; `rows` of the root table that dlt was given; records `left_out` by the incremental or by steps (below 0
            if these make more of them): records = rows + left_out. What schema contracts discard of the rows stands with the
            table: `tables[table]["discarded"]`. And `skipped`: parents (or the
            resource) that failed and were left out.
        warnings: What looked like missing pages (docs/truncation.md); the first 20.
        skipped: What failed and was left out by `on_error`.
    """

    native: bool
    reason: str | None
    in_python: list[str]
    in_normalize: str | None
    counts: dict[str, int]
    warnings: list[str]
    skipped: list[Skipped]


class LoadStatus(TypedDict):
    """What is known of a load.

    Attributes:
        resources: By name, the resources of `rest_api` sources that were taken over or made by headrace.
        tables: By name, the tables whose records dlt's normalize step had to do.
    """

    resources: dict[str, ResourceStatus]
    tables: dict[str, TableStatus]


_loads: OrderedDict[str, LoadStatus] = OrderedDict()
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loads.clear)  # what is known at home does not go home again


def _load(load_id: str) -> LoadStatus:
    found = _loads.setdefault(load_id, {"resources": {}, "tables": {}})
    while len(_loads) > _MAX_LOADS:
        _loads.popitem(last=False)
    return found


def note_resource(
    load_id: str, resource: str, reason: str | None, in_python: list[str], in_normalize: str | None
) -> None:
    """Says how a rest_api resource is served."""
    with _lock:
        _load(load_id)["resources"][resource] = {
            "native": reason is None,
            "reason": reason,
            "in_python": in_python,
            "in_normalize": in_normalize,
            "counts": {},
            "warnings": [],
            "skipped": [],
        }


def note_counts(
    load_id: str, resource: str, counts: dict[str, int], warnings: list[str], skipped: list[Skipped]
) -> dict[str, int]:
    """Adds to the counts of a resource that the engine serves. Returns their sums."""
    with _lock:
        known = _load(load_id)["resources"].get(resource)
        if known is None:  # forgotten: a hundred loads were made meanwhile
            return counts
        for name, value in counts.items():
            known["counts"][name] = known["counts"].get(name, 0) + value
        known["warnings"] += warnings
        known["skipped"] += skipped
        return dict(known["counts"])


def note(
    load_id: str,
    table: str,
    reason: str | None,
    records: int = 0,
    by_dlt: int = 0,
    by_rows: str | None = None,
    *,
    received: int = 0,
    rows: int = 0,
    native: bool | None = None,
) -> None:
    """Adds a file's records to its table's. `native`: whether the engine took some; None: if there is no reason."""
    from dlt.common import logger

    with _lock:
        tables = _load(load_id)["tables"]
        known = tables.get(table)
        if known is None:
            known = tables[table] = {
                "native": False,
                "reason": None,
                "records": 0,
                "by_dlt": 0,
                "received": 0,
                "rows": 0,
                "discarded": 0,
                "by_rows": by_rows,
            }
        known["native"] |= reason is None if native is None else native
        known["reason"] = known["reason"] or reason
        known["records"] += records
        known["by_dlt"] += by_dlt
        known["received"] += received
        known["rows"] += rows
        known["discarded"] = known["received"] - known["rows"]
        if received != rows:
            left_out = f"{received - rows} left out by contracts or filters"
            logger.info(f"headrace: load {load_id}: `{table}`: of {received} records {rows} became rows, {left_out}")


_SHOWN = 20  # tables in a log line


def tell(load_id: str) -> None:
    """Logs in one line which tables of the load the engine took, and which dlt and why."""
    from dlt.common import logger

    with _lock:
        tables = deepcopy(_loads[load_id]["tables"]) if load_id in _loads else {}
    told = [f"`{name}` {_how(table)}" for name, table in tables.items()]
    more = [f"and {len(told) - _SHOWN} tables more (headrace.status() has them)"] if len(told) > _SHOWN else []
    if told:
        logger.info(f"headrace: load {load_id}: {'; '.join([*told[:_SHOWN], *more])}")


def _how(table: TableStatus) -> str:
    """How a table was normalized."""
    if not table["native"]:
        return f"by dlt: {table['reason']}"
    how = "in the engine"
    if table["by_dlt"]:
        how += f", {table['by_dlt']} of {table['records'] + table['by_dlt']} records by dlt"
    if table["reason"]:
        how += f", some files by dlt: {table['reason']}"
    return how + (f", written by dlt row by row: {table['by_rows']}" if table["by_rows"] else "")


def with_notes(result: TWorkerRV) -> TWorkerRV:
    """The result of a worker process: when it is unpickled at home, what was noted here is noted there."""
    with _lock:
        notes = {load_id: load["tables"] for load_id, load in _loads.items()}
        _loads.clear()
    return _Noted(result, notes)  # type: ignore[return-value]


class _Noted(tuple):  # type: ignore[type-arg]
    """A result on its way home."""

    notes: dict[str, dict[str, TableStatus]]

    def __new__(cls, result: TWorkerRV, notes: dict[str, dict[str, TableStatus]]) -> _Noted:
        noted = super().__new__(cls, result)
        noted.notes = notes
        return noted

    def __reduce__(self) -> Any:
        return _at_home, (tuple(self), self.notes)


def _at_home(result: tuple[Any, ...], notes: dict[str, dict[str, TableStatus]]) -> TWorkerRV:
    from dlt.normalize.worker import TWorkerRV

    for load_id, tables in notes.items():
        for name, table in tables.items():
            counts = {key: table[key] for key in ("records", "by_dlt", "by_rows", "received", "rows")}
            note(load_id, name, table["reason"], native=table["native"], **counts)  # type: ignore[arg-type]
        tell(load_id)
    return TWorkerRV(*result)


def status() -> dict[str, LoadStatus]:
    """How the loads of this process went, dlt's worker processes included, by load id. The 100 newest loads."""
    with _lock:
        return deepcopy(dict(_loads))
