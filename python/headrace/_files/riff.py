"""Chunks of WAV files: RIFF, RIFX, RF64 and BW64 (ITU-R BS.2088), read with limits from a file that may be anything.

    id (4 bytes) | size (4 bytes, little-endian; of RIFX big-endian, as all its numbers) | size bytes | a byte of padding
    if size is odd

The samples (`data`) are passed over; what stands in small chunks before and after them is taken.
"""

from __future__ import annotations

import struct
from typing import IO, Any, NamedTuple

_MAX_CHUNKS = 10_000
_MAX_CHUNK = 16 << 20  # bytes of a chunk that is taken
_MAX_ENTRIES = 65_536  # cue points, labels, loops, tags of a file
_MAX_TEXT = 1 << 20
_UNKNOWN = 0xFFFFFFFF  # a size that stands in ds64, or that a recorder did not come to write
_TAKEN = {b"fmt ", b"fact", b"ds64", b"cue ", b"smpl", b"inst", b"bext", b"iXML", b"axml", b"plst"}

CODECS = {
    0x0001: "pcm",
    0x0002: "ms_adpcm",
    0x0003: "float",
    0x0006: "alaw",
    0x0007: "mulaw",
    0x0011: "ima_adpcm",
    0x0031: "gsm610",
    0x0055: "mp3",
}
_EXTENSIBLE = 0xFFFE

# INFO tags by their usual names; others have their own
TAGS = {
    "IARL": "archival_location",
    "IART": "artist",
    "ICMS": "commissioned",
    "ICMT": "comment",
    "ICOP": "copyright",
    "ICRD": "creation_date",
    "IENG": "engineer",
    "IGNR": "genre",
    "IKEY": "keywords",
    "IMED": "medium",
    "INAM": "title",
    "IPRD": "product",
    "ISBJ": "subject",
    "ISFT": "software",
    "ISRC": "source",
    "ISRF": "source_form",
    "ITCH": "technician",
    "ITRK": "track",
}


class Wave(NamedTuple):
    """What the chunks say.

    Attributes:
        container: "RIFF", "RIFX", "RF64" or "BW64".
        fmt: `channels`, `sample_rate`, `bits`, `block_bytes`, `codec`, `channel_mask`.
        data_offset: Byte of the first sample.
        data_bytes: Bytes of the samples that are there.
        data_missing: Bytes of the samples that the header says and the file does not have.
        n_samples: As `fact` or `ds64` say; None: not said.
        tags, bext, ixml, cues, regions, loops, instrument: Metadata.
        chunks: Ids in order.
        format_chunk: The content of `fmt `.
    """

    container: str
    fmt: dict[str, Any]
    data_offset: int
    data_bytes: int
    data_missing: int
    n_samples: int | None
    tags: dict[str, str]
    bext: dict[str, Any] | None
    ixml: str | None
    cues: list[dict[str, Any]]
    regions: list[dict[str, Any]]
    loops: list[dict[str, Any]]
    instrument: dict[str, Any] | None
    chunks: list[str]
    format_chunk: bytes


def read_wave(file: IO[bytes]) -> Wave:
    """Reads the chunks of a WAV file.

    Raises:
        ValueError: It is none, or a chunk is not what it should be; says where.
    """
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(12)
    if not start:
        raise ValueError("the file is empty: 0 bytes, a WAV file begins with RIFF")
    if start[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or start[8:12] != b"WAVE":
        raise ValueError(f"no WAV file: expected RIFF, RIFX, RF64 or BW64 and WAVE at byte 0, found {start!r}")
    order = ">" if start[:4] == b"RIFX" else "<"
    found: dict[bytes, bytes] = {}
    lists: list[tuple[int, bytes]] = []
    chunks: list[str] = []
    data: tuple[int, int, int] | None = None
    at = 12
    while at + 8 <= size:
        if len(chunks) >= _MAX_CHUNKS:
            raise ValueError(f"the file has more than {_MAX_CHUNKS} chunks, at byte {at}")
        file.seek(at)
        name, n_bytes = struct.unpack(f"{order}4sI", file.read(8))
        chunks.append(name.decode("latin-1"))
        at += 8
        if name == b"data" and data is None:
            n_bytes = _data_size(n_bytes, found, size - at, start[:4])
            data = (at, min(n_bytes, size - at), max(n_bytes - (size - at), 0))
        elif name in _TAKEN or name == b"LIST":
            if n_bytes > size - at and name in (b"fmt ", b"ds64"):
                raise ValueError(
                    f"the file is cut: chunk `{chunks[-1]}` at byte {at - 8} has {size - at} of {n_bytes} bytes"
                )
            content = file.read(min(n_bytes, _MAX_CHUNK))
            if name == b"LIST":
                lists.append((at, content))
            else:
                found.setdefault(name, content)
        at += n_bytes + (n_bytes & 1)
    if b"fmt " not in found:
        raise ValueError(
            "the file is cut: it has no chunk `fmt `"
            if data is None
            else "no chunk `fmt ` before byte 0 of the samples"
        )
    if data is None:
        raise ValueError(f"the file is cut: it has no chunk `data`; its chunks are {', '.join(chunks[:20])}")
    cues, labels, tags = _cues(found.get(b"cue ", b""), order), _Labels(order), {}
    for _, content in lists:
        if content[:4] == b"INFO":
            tags.update(_tags(content[4:], order))
        elif content[:4] == b"adtl":
            labels.read(content[4:])
    loops, instrument = _loops(found.get(b"smpl", b""), order)
    return Wave(
        start[:4].decode(),
        _fmt(found[b"fmt "], order),
        *data,
        _n_samples(found, order),
        tags,
        _bext(found[b"bext"], order) if b"bext" in found else None,
        _text(found[b"iXML"]) if b"iXML" in found else None,
        [{**cue, **labels.of(cue["id"])} for cue in cues],
        labels.regions({cue["id"]: cue["frame"] for cue in cues}),
        loops,
        instrument or _instrument(found.get(b"inst", b"")),
        chunks,
        found[b"fmt "],
    )


def _data_size(told: int, found: dict[bytes, bytes], there: int, container: bytes) -> int:
    """Bytes of the samples. A recorder that was cut off leaves 0 or the largest number: then all that is there."""
    ds64 = found.get(b"ds64", b"")
    if told == _UNKNOWN and container in (b"RF64", b"BW64") and len(ds64) >= 16:
        return int(struct.unpack_from("<Q", ds64, 8)[0])
    return there if told == _UNKNOWN else told


def _n_samples(found: dict[bytes, bytes], order: str) -> int | None:
    ds64, fact = found.get(b"ds64", b""), found.get(b"fact", b"")
    if len(fact) >= 4 and (count := struct.unpack_from(f"{order}I", fact)[0]) != _UNKNOWN:
        return int(count)
    return int(struct.unpack_from("<Q", ds64, 16)[0]) if len(ds64) >= 24 else None


def _fmt(content: bytes, order: str) -> dict[str, Any]:
    if len(content) < 16:
        raise ValueError(f"chunk `fmt ` has {len(content)} bytes, at least 16 are needed")
    code, channels, rate, _, block, bits = struct.unpack_from(f"{order}HHIIHH", content)
    mask = None
    if code == _EXTENSIBLE:
        if len(content) < 40:
            raise ValueError(f"chunk `fmt ` is extensible and has {len(content)} bytes, 40 are needed")
        valid, mask, code = struct.unpack_from(f"{order}HII", content, 18)
        code &= 0xFFFF  # of a GUID
        bits = valid or bits
    if not 1 <= channels <= 1024 or rate == 0:
        raise ValueError(f"chunk `fmt ` says {channels} channels at {rate} Hz")
    codec = CODECS.get(code, f"0x{code:04x}")
    return {
        "channels": channels,
        "sample_rate": rate,
        "bits": bits,
        "block_bytes": block,
        "codec": codec,
        "channel_mask": mask,
    }


def _text(content: bytes) -> str:
    """Text up to the first NUL: UTF-8, else Windows-1252 as programs write it."""
    content = content.split(b"\0", 1)[0][:_MAX_TEXT]
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace").strip()


def _parts(content: bytes, order: str) -> list[tuple[bytes, bytes]]:
    """The chunks within a list; the last may be cut."""
    out: list[tuple[bytes, bytes]] = []
    at = 0
    while at + 8 <= len(content) and len(out) < _MAX_ENTRIES:
        name, n_bytes = struct.unpack_from(f"{order}4sI", content, at)
        out.append((name, content[at + 8 : at + 8 + n_bytes]))
        at += 8 + n_bytes + (n_bytes & 1)
    return out


def _tags(content: bytes, order: str) -> dict[str, str]:
    found = {}
    for name, value in _parts(content, order):
        key = name.decode("latin-1").strip("\0 ")
        found[TAGS.get(key.upper(), key.lower())] = _text(value)
    return found


def _cues(content: bytes, order: str) -> list[dict[str, Any]]:
    if len(content) < 4:
        return []
    count = min(struct.unpack_from(f"{order}I", content)[0], (len(content) - 4) // 24, _MAX_ENTRIES)
    out = []
    for i in range(count):
        number, position, _, _, _, frame = struct.unpack_from(f"{order}II4sIII", content, 4 + 24 * i)
        out.append({"id": number, "position": position, "frame": frame})
    return out


class _Labels:
    """What a list `adtl` says of cue points: labels, notes, lengths (regions)."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._texts: dict[int, dict[str, str]] = {}
        self._regions: list[dict[str, Any]] = []

    def read(self, content: bytes) -> None:
        """Takes a list's parts."""
        for name, value in _parts(content, self._order):
            if len(value) < 4:
                continue
            number = struct.unpack_from(f"{self._order}I", value)[0]
            if name in (b"labl", b"note"):
                self._texts.setdefault(number, {})["label" if name == b"labl" else "note"] = _text(value[4:])
            elif name == b"ltxt" and len(value) >= 20 and len(self._regions) < _MAX_ENTRIES:
                length, purpose = struct.unpack_from(f"{self._order}I4s", value, 4)
                text = _text(value[20:]) or None
                self._regions.append(
                    {"cue_id": number, "length_frames": length, "purpose": _text(purpose), "text": text}
                )

    def of(self, number: int) -> dict[str, str | None]:
        """A cue point's label and note."""
        texts = self._texts.get(number, {})
        return {"label": texts.get("label"), "note": texts.get("note")}

    def regions(self, frames: dict[int, int]) -> list[dict[str, Any]]:
        """Cue points with a length."""
        return [
            {**region, "frame": frames.get(region["cue_id"]), "label": self.of(region["cue_id"])["label"]}
            for region in self._regions
        ]


_LOOP_KINDS = {0: "forward", 1: "alternating", 2: "backward"}


def _loops(content: bytes, order: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Loops of a sampler, and its note."""
    if len(content) < 36:
        return [], None
    _, _, _, note, fraction, _, _, count, _ = struct.unpack_from(f"{order}9I", content)
    loops = []
    for i in range(min(count, (len(content) - 36) // 24, _MAX_ENTRIES)):
        number, kind, start, end, part, times = struct.unpack_from(f"{order}6I", content, 36 + 24 * i)
        loops.append(
            {
                "id": number,
                "kind": _LOOP_KINDS.get(kind, str(kind)),
                "start_frame": start,
                "end_frame": end,
                "fraction": part / 2**32,
                "play_count": times,
            }
        )
    return loops, {"unity_note": note, "fine_tune_semitones": fraction / 2**32}


def _instrument(content: bytes) -> dict[str, Any] | None:
    if len(content) < 7:
        return None
    note, cents = struct.unpack_from("<Bb", content)
    return {"unity_note": note, "fine_tune_semitones": cents / 100}


def _bext(content: bytes, order: str) -> dict[str, Any] | None:
    """Broadcast extension (EBU Tech 3285)."""
    if len(content) < 348:
        return None
    low, high, version = struct.unpack_from(f"{order}IIH", content, 338)
    found: dict[str, Any] = {
        "description": _text(content[:256]) or None,
        "originator": _text(content[256:288]) or None,
        "originator_reference": _text(content[288:320]) or None,
        "origination_date": _text(content[320:330]) or None,
        "origination_time": _text(content[330:338]) or None,
        "time_reference_frames": high << 32 | low,
        "version": version,
        "umid": content[348:412].hex().rstrip("0") or None if version >= 1 else None,
        "coding_history": _text(content[602:]) or None,
    }
    loudness = (
        "loudness_value",
        "loudness_range",
        "max_true_peak_level",
        "max_momentary_loudness",
        "max_short_term_loudness",
    )
    values = struct.unpack_from(f"{order}5h", content, 412) if version >= 2 and len(content) >= 422 else (0x7FFF,) * 5
    found.update({key: None if value == 0x7FFF else value / 100 for key, value in zip(loudness, values, strict=True)})
    return found
