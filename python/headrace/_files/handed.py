"""Blocks of bytes that one thread makes and another takes."""

from __future__ import annotations

import queue
import threading

_POLL_S = 0.1


class HandedBlocks:
    """A queue of blocks; b"" is the last. What making them raised is raised where it would have been taken."""

    def __init__(self, most: int) -> None:
        self._blocks: queue.Queue[bytes | BaseException] = queue.Queue(most)
        self._is_stopped = threading.Event()

    def put(self, block: bytes | BaseException) -> bool:
        """Hands on a block, or an error, when there is room. False: no more are wanted."""
        while not self._is_stopped.is_set():
            try:
                self._blocks.put(block, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def take(self, waits: bool) -> bytes | None:
        """The next block; None: none yet, if it is not waited for."""
        try:
            found = self._blocks.get(block=waits)
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """No more blocks are wanted."""
        self._is_stopped.set()
