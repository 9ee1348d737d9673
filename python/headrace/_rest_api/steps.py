"""A resource whose records pass Python on their way: `processing_steps`, `add_map`, `add_filter`, `add_limit` and the like.

The engine fetches and decodes; our generator yields a page's records as dlt's would; dlt itself calls the steps one after the
other, the incremental among them; what the last of them gives is collected here, for the engine to normalize. What the
engine cannot take (rows for another table, other objects than records) goes on to dlt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dlt.extract.incremental import IncrementalResourceWrapper
from dlt.extract.items import DataItemWithMeta
from dlt.extract.items_transform import (
    FilterItem,
    ItemTransform,
    LimitItem,
    MapItem,
    YieldMapItem,
)
from dlt.extract.pipe import ForkPipe, Pipe
from dlt.extract.utils import get_data_item_format

_NAMES = {MapItem: "map", FilterItem: "filter", YieldMapItem: "yield_map", LimitItem: "limit"}


def names_of(pipe: Pipe) -> list[str]:
    """The Python steps behind the pipe's generator; the incremental is none."""
    found = pipe.steps[pipe._gen_idx + 1 :]
    return [
        _NAMES.get(type(step), type(step).__name__)
        for step in found
        if isinstance(step, ItemTransform) and not isinstance(step, IncrementalResourceWrapper)
    ]


class PythonSteps:
    """The steps of one running pipe.

    Attributes:
        own: The table that is on its way through the pipe: no step is for it.
        is_open: Whether what the last step gives is collected.
        is_done: Whether a step wants no more records (a limit, rows in order that have left the incremental's range).
    """

    def __init__(self, pipe: Pipe, collects: bool) -> None:
        self.own: Any = None
        self.is_open = collects
        self.name = pipe.name  # `name`, `has_parent` and `close` are what an incremental wants of its pipe
        self.has_parent = pipe.has_parent
        self._is_closed = False
        self._limits: list[LimitItem] = []
        self._collected: list[Any] = []
        self._n_generators = 0
        steps: list[Any] = pipe._steps
        end = next((n for n, step in enumerate(steps) if isinstance(step, ForkPipe)), len(steps))
        for index in range(pipe._gen_idx + 1, end):
            step = steps[index]
            if isinstance(step, LimitItem):
                self._limits.append(step)
                step.gen = None  # type: ignore[assignment] # it would close our generator, which has rows to give
            elif isinstance(step, IncrementalResourceWrapper) and step.incremental is not None:
                step.incremental._bound_pipe = self  # type: ignore[assignment] # as above
            steps[index] = self._around(step, is_last=index == end - 1)

    def close(self) -> None:
        """Called by the incremental: rows in order have left the range."""
        self._is_closed = True

    @property
    def is_done(self) -> bool:
        return self._is_closed or any(limit.exhausted for limit in self._limits)

    @property
    def is_idle(self) -> bool:
        """Whether no step's generator has more to give."""
        return self._n_generators == 0

    def take(self) -> list[Any]:
        """The records that were collected since the last time."""
        found, self._collected = self._collected, []
        return found

    def _around(self, step: Any, is_last: bool) -> Callable[..., Any]:
        def around(item: Any, meta: Any = None) -> Any:
            if self.own is not None and item is self.own:
                return item
            found = step(item, meta=meta)
            if isinstance(found, Iterator):
                return self._each(found, meta, is_last)
            return self._collect(found, meta) if is_last else found

        around.__name__ = around.__qualname__ = getattr(step, "__name__", type(step).__name__)
        return around

    def _each(self, items: Iterator[Any], meta: Any, is_last: bool) -> Iterator[Any]:
        self._n_generators += 1
        return self._draw(items, meta, is_last)

    def _draw(self, items: Iterator[Any], meta: Any, is_last: bool) -> Iterator[Any]:
        try:
            for item in items:
                left = self._collect(item, meta) if is_last else item
                if left is not None:
                    yield left
        finally:
            self._n_generators -= 1

    def _collect(self, item: Any, meta: Any) -> Any:
        """Keeps what the engine can take; gives back the rest."""
        if item is None or meta is not None or not self.is_open or isinstance(item, (DataItemWithMeta, Iterator)):
            return item
        if callable(item) or hasattr(item, "__await__") or hasattr(item, "__aiter__") or item == []:
            return item
        if get_data_item_format(item) != "object":
            return item
        if isinstance(item, list):
            self._collected.extend(item)
        else:
            self._collected.append(item)
        return None
