"""Requests to a store that are under way, ended together when their file is not wanted any more.

fsspec waits in the thread that asks, and does not say which request is whose: an aborted run would wait for the time-outs of
its client.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any

from fsspec.exceptions import FSTimeoutError


class Ended(Exception):
    """The file is not wanted any more."""


class Requests:
    """Those of one file, from any number of threads."""

    def __init__(self) -> None:
        self._under_way: set[Future[Any]] = set()
        self._is_ended = False
        self._lock = threading.Lock()

    def result(self, loop: Any, asked: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine gives in the store's loop. Raises `Ended` when `end` was or is called meanwhile."""
        with self._lock:
            if self._is_ended:
                asked.close()
                raise Ended
            future = asyncio.run_coroutine_threadsafe(asked, loop)
            self._under_way.add(future)
        try:
            return future.result()
        except CancelledError:
            raise Ended from None
        except asyncio.TimeoutError as error:
            raise FSTimeoutError from error  # as fsspec does
        finally:
            with self._lock:
                self._under_way.discard(future)

    def end(self) -> None:
        """Breaks off what is under way; nothing more is asked for."""
        with self._lock:
            self._is_ended = True
            under_way = list(self._under_way)
        for future in under_way:
            future.cancel()
