"""Python's garbage collector, kept out of imports."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keeps the collector from looking through everything that dlt has loaded because a library is imported: what an
    import makes stays. Other threads' garbage waits as long. A twentieth of the CPU of a normalize step of 100,000 records;
    and the next look through everything, 50 ms, comes later: without it, at the start of the first extraction.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
