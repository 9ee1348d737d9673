"""Random nested Arrow through `headrace.nested` beside the same data as dicts through dlt: the same tables.

No seed is left out. Types are those whose values dlt's JSON path holds as they are; for the others see
test_nested_arrow_types.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nestedgen
import pytest
from nested_oracle import assert_same, assert_same_ids, run

N_SEEDS = int(os.environ.get("HR_SEEDS", "216"))
CHUNK = 12
HINTS: list[dict[str, Any]] = [
    {},
    {"write_disposition": "replace"},
    {"write_disposition": "merge", "primary_key": "id"},
    {"write_disposition": {"disposition": "merge", "strategy": "upsert"}, "primary_key": "id"},
    {"write_disposition": {"disposition": "merge", "strategy": "insert-only"}, "primary_key": "id"},
    {"write_disposition": {"disposition": "merge", "strategy": "scd2"}},
]
HASHED = HINTS[3:]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("first", range(0, N_SEEDS, CHUNK))
def test_random_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    hints = HINTS[first // CHUNK % len(HINTS)]
    own_ids = hints in HINTS[:3] and first // CHUNK // len(HINTS) % 2 == 0
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", str([500, 2000, 8 << 20][first // CHUNK // len(HINTS) % 3]))
    seeds = range(first, min(first + CHUNK, N_SEEDS))
    n_loads = 1 if hints in HINTS[:2] else 2
    loads = {f"doc{seed}": nestedgen.loads(seed, n_loads=n_loads, n_rows=8, own_ids=own_ids) for seed in seeds}
    dicts = run(tmp_path, loads, False, hints)
    arrow = run(tmp_path, loads, True, hints)
    assert_same(dicts, arrow, in_order=False)
    if own_ids or hints in HASHED:
        assert_same_ids(dicts, arrow)
