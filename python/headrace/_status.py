"""What of dlt's normalize step ran in the engine, and why the rest did not."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from dlt.normalize.worker import TWorkerRV

_MAX_LOADS = 100  # older ones are forgotten


class TableStatus(TypedDict):
    """How a table's records were normalized in one load.

    Attributes:
        native: Whether the engine took them.
        reason: Why it did not; None: it did.
        records: Records that the engine took.
        by_dlt: Records among them that dlt took itself (new columns under a contract, typed values, errors).
    """

    native: bool
    reason: str | None
    records: int
    by_dlt: int


_loads: OrderedDict[str, dict[str, TableStatus]] = OrderedDict()
_lock = threading.Lock()


def note(load_id: str, table: str, reason: str | None, records: int = 0, by_dlt: int = 0) -> None:
    """Adds a file's records to its table's."""
    with _lock:
        tables = _loads.setdefault(load_id, {})
        while len(_loads) > _MAX_LOADS:
            _loads.popitem(last=False)
        known = tables.get(table)
        if known is None:
            known = tables[table] = {"native": reason is None, "reason": reason, "records": 0, "by_dlt": 0}
            from dlt.common import logger

            how = "in the engine" if reason is None else f"by dlt: {reason}"
            logger.info(f"headrace: load {load_id}: `{table}` is normalized {how}")
        known["records"] += records
        known["by_dlt"] += by_dlt


def with_notes(result: TWorkerRV) -> TWorkerRV:
    """The result of a worker process: when it is unpickled at home, what was noted here is noted there."""
    with _lock:
        notes = dict(_loads)
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
            note(load_id, name, table["reason"], table["records"], table["by_dlt"])
    return TWorkerRV(*result)


def status() -> dict[str, dict[str, TableStatus]]:
    """How the loads of this process were normalized, dlt's worker processes included: load id, then table. The 100
    newest loads.
    """
    with _lock:
        return {load_id: {name: table.copy() for name, table in tables.items()} for load_id, tables in _loads.items()}
