"""Files of lines cut into pieces for the engine: big files at line ends, small files together in one piece."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace import _core
from headrace._files.ahead import BLOCK_BYTES, Ahead, Open, Ranges
from headrace._files.archives import IsArchive, members_of
from headrace._files.skips import Skips
from headrace._files.stores import LocalBytes

_COUNT_BYTES = 1 << 20
_ENOUGH_BYTES = BLOCK_BYTES // 2
BOM = b"\xef\xbb\xbf"


class FileState:
    """One file that is being read.

    Attributes:
        item: The file.
        offset: Bytes of its content that went into pieces.
        is_dropped: Whether the rest of it is left out.
        file: The open file, if workers read it.
    """

    def __init__(self, item: Any) -> None:
        self.item = item
        self.offset = 0
        self.is_dropped = False
        self.file: LocalBytes | None = None
        self._lines = 0  # of its first _counted bytes
        self._counted = 0
        self._uncounted = b""  # what went into a piece last: of a small file nobody asks for the lines behind it

    def read(self, start: int, end: int) -> bytes:
        """Bytes of the open file."""
        assert self.file is not None
        return os.pread(self.file.fileno(), end - start, start)

    def counted(self, n_lines: int) -> None:
        """So many lines more went into pieces."""
        self._lines += n_lines

    def taken(self, text: bytes) -> None:
        """These lines went into a piece."""
        self._count()
        self._uncounted = text

    def _count(self) -> None:
        if self._uncounted:
            self._lines += _core.count_lines(self._uncounted)
            self._uncounted = b""

    def lines_before(self, offset: int) -> int:
        """Lines before this byte of the open file. They are only counted when somebody asks."""
        if self.file is None:
            self._count()
            return self._lines
        if offset < self._counted:
            self._lines = self._counted = 0
        while self._counted < offset:
            found = self.read(self._counted, min(offset, self._counted + _COUNT_BYTES))
            if not found:
                break
            self._lines += _core.count_lines(found)
            self._counted += len(found)
        return self._lines


class Part(NamedTuple):
    """Lines of one file in a piece.

    Attributes:
        file: The file.
        start: Where in the piece they begin.
        offset: Where in the file's content they begin.
        line: Number of the first, from 0; -1: to be counted.
    """

    file: FileState
    start: int
    offset: int
    line: int

    @property
    def first_line(self) -> int:
        """Number of the first line, from 0."""
        return self.line if self.line >= 0 else self.file.lines_before(self.offset)


class Piece(NamedTuple):
    """Whole lines of a file or of several, each file's last with its end.

    Attributes:
        tag: Its number.
        text: The lines; None: a worker reads them from the file.
        size: Bytes.
        parts: Whose lines they are.
        skip: Records at its start that are done.
        is_last: Whether the file that a worker reads ends with it.
    """

    tag: int
    text: bytes | None
    size: int
    parts: tuple[Part, ...]
    skip: int = 0
    is_last: bool = False

    def loaded(self) -> Piece:
        """The piece with its text."""
        if self.text is not None:
            return self
        part = self.parts[0]
        text = part.file.read(part.offset, part.offset + self.size)
        if len(text) != self.size:
            raise OSError(f"the file ends at byte {part.offset + len(text)}")
        return self._replace(text=text)

    @property
    def loaded_text(self) -> bytes:
        """The text of a piece that is `loaded`."""
        assert self.text is not None
        return self.text

    def bounds(self, number: int) -> tuple[int, int]:
        """Where the part of this number begins and ends."""
        end = self.parts[number + 1].start if number + 1 < len(self.parts) else self.size
        return self.parts[number].start, end

    @property
    def is_lines(self) -> bool:
        """Whether records are lines; or elements of a list, with commas between them."""
        return True

    def units(self, first: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Where the records of text[first:stop] begin and end, with what ends them."""
        return lines_of(self.loaded_text[:stop], first)

    def line_at(self, offset: int) -> tuple[Part, int, int]:
        """The line that holds the byte: its part, and from where to where it goes."""
        text = self.loaded_text
        offset = min(offset, len(text) - 1)
        part = next(one for one in reversed(self.parts) if one.start <= offset)
        start = text.rfind(b"\n", 0, offset) + 1 if offset else 0
        end = text.find(b"\n", offset) + 1 or len(text)
        return part, max(start, part.start), end

    def record(self, index: int) -> tuple[Part, int, int]:
        """The line of the record of this number, which is not empty."""
        for start, _ in lines_of(self.loaded_text):
            if index == 0:
                return self.line_at(start)
            index -= 1
        raise IndexError

    def number(self, part: Part, start: int) -> int:
        """How many lines of the file are before the one that starts here."""
        return part.first_line + self.loaded_text.count(b"\n", part.start, start)

    def place(self, part: Part, start: int) -> str:
        """Where in the file a line is that starts here."""
        return f"line {self.number(part, start) + 1}, byte {part.offset + start - part.start}"


def lines_of(text: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where the lines that are not empty begin and end, from `start` on."""
    while start < len(text):
        end = text.find(b"\n", start) + 1 or len(text)
        if not text[start:end].isspace():
            yield start, end
        start = end


class Pieces:
    """The lines of files in order."""

    _unit = "line"
    _has_ranges = True

    def __init__(self, skips: Skips, max_line_bytes: int) -> None:
        self.n_files = 0
        self.stored_bytes = 0  # read of files that are done
        self._skips = skips
        self._max_line_bytes = max_line_bytes
        self._ahead = Ahead(max_line_bytes, self._has_ranges)
        self._file: FileState | None = None
        self._open: Open | None = None
        self._carry: list[bytes] = []  # the start of a line whose end was not seen yet
        self._carry_bytes = 0
        self._texts: list[bytes] = []  # of the piece that is being put together
        self._size = 0  # of them
        self._parts: list[Part] = []
        self._tag = 0
        self._enough_bytes = _ENOUGH_BYTES

    def add(self, items: Any) -> None:
        """Takes files, to come after those taken before."""
        self._ahead.add(items)

    @property
    def n_waiting(self) -> int:
        """Files that are not begun."""
        return len(self._ahead)

    @property
    def is_empty(self) -> bool:
        """Whether all that was added has been given out."""
        return self._file is None and not self._size and not len(self._ahead)

    @property
    def stored_position(self) -> int:
        """Stored bytes read so far, of all files."""
        return self.stored_bytes + (self._open.stored_position if self._open is not None else 0)

    def next(self) -> Piece | None:
        """The next piece; None: none yet, or that was all."""
        while True:
            if self._file is None:
                if not len(self._ahead):
                    return self._take() if self._size else None
                self._begin()
                continue
            if isinstance(self._open, Ranges):
                if self._size:  # of files before it
                    return self._take()
                if (piece := self._range(self._open)) is not None:
                    return piece
                self._end()
                continue
            if (block := self._block()) is None:
                return None
            if block:
                self._put(block)
            else:
                self._end()
            if self._size >= self._enough_bytes:
                return self._take()

    def _begin(self) -> None:
        item, opener = self._ahead.next()
        self._file = FileState(item)
        self.n_files += 1
        try:
            self._open = opener()
        except Exception as ex:
            self._bad(ex)
        if isinstance(self._open, Ranges):
            self._file.file = self._open.file

    def _range(self, opened: Ranges) -> Piece | None:
        file = self._file
        assert file is not None
        if file.is_dropped:
            return None
        try:
            found = opened.next()
        except Exception as ex:
            self._bad(ex)
            return None
        if found is None:
            return None
        start, end = found
        is_last = end == opened.stored_size
        file.offset = end
        self._tag += 1
        return Piece(self._tag - 1, None, end - start, (Part(file, 0, start, -1),), is_last=is_last)

    def _block(self) -> bytes | None:
        assert self._file is not None
        if self._file.is_dropped or self._open is None or isinstance(self._open, Ranges):
            return b""
        try:
            return self._open.block()
        except Exception as ex:
            self._bad(ex)
            return b""

    def _bad(self, error: Exception) -> None:
        """The file cannot be read on: the lines that are complete stay."""
        file = self._file
        assert file is not None
        self._carry.clear()
        self._carry_bytes = 0
        if isinstance(error, IsArchive):
            file.is_dropped = True
            self.n_files -= 1
            try:
                self._ahead.put_first(members_of(file.item))
                return
            except Exception as ex:
                error = ex
        n_lines = file.lines_before(file.offset)
        place = f"after {self._unit} {n_lines}, byte {file.offset}" if file.offset else ""
        self._skips.file(file.item, error, place, n_lines)
        file.is_dropped = True

    def _put(self, block: bytes) -> None:
        cut = block.rfind(b"\n") + 1
        if cut:
            self._lines(b"".join((*self._carry, block[:cut])) if self._carry else block[:cut])
            self._carry = [block[cut:]] if cut < len(block) else []
            self._carry_bytes = len(block) - cut
            return
        self._carry.append(block)
        self._carry_bytes += len(block)
        if self._carry_bytes > self._max_line_bytes:
            self._bad(ValueError(f"a line is longer than max_body_bytes, {self._max_line_bytes} bytes"))

    def _lines(self, text: bytes) -> None:
        file = self._file
        assert file is not None
        if file.offset == 0 and text.startswith(BOM):
            text = text[len(BOM) :]
            file.offset = len(BOM)
        if not self._parts or self._parts[-1].file is not file:
            self._parts.append(Part(file, self._size, file.offset, file.lines_before(0)))
        self._texts.append(text)
        self._size += len(text)
        file.offset += len(text)
        file.taken(text)

    def _end(self) -> None:
        assert self._file is not None
        if self._carry:
            text = b"".join(self._carry)
            self._carry.clear()
            self._carry_bytes = 0
            self._lines(text + b"\n")
        if self._open is not None:
            self.stored_bytes += self._open.stored_position
            self._ahead.done(self._open)
        self._open = self._file = None

    def _take(self) -> Piece:
        text = self._texts[0] if len(self._texts) == 1 else b"".join(self._texts)
        piece = Piece(self._tag, text, self._size, tuple(self._parts))
        self._tag += 1
        self._texts.clear()
        self._size = 0
        self._parts = []
        return piece

    def close(self) -> None:
        """Ends what is under way."""
        if self._open is not None:
            self._open.close()
        self._ahead.close()
