"""WAV: chunks against what is written, levels against numpy and soundfile, samples, child tables; bad and random files."""

import io
import random
import struct
import sysconfig
import wave
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile
from dlt.common.storages.fsspec_filesystem import FileItemDict
from files_reading import read, run
from headrace._files.any import told_of
from headrace._files.riff import read_wave
from headrace.sources import filesystem as files
from oracle import read_tables

RATE = 8000
SIGNAL = np.sin(np.arange(20_000) / 50)[:, None] * [0.5, 0.25]
SUBTYPES = {
    "PCM_U8": ("pcm", 8),
    "PCM_16": ("pcm", 16),
    "PCM_24": ("pcm", 24),
    "PCM_32": ("pcm", 32),
    "FLOAT": ("float", 32),
    "DOUBLE": ("float", 64),
    "ALAW": ("alaw", 8),
    "ULAW": ("mulaw", 8),
    "IMA_ADPCM": ("ima_adpcm", 4),
}


ORDERS = {b"RIFF": "<", b"RIFX": ">"}


def chunk(name, content, order="<"):
    return name + struct.pack(f"{order}I", len(content)) + content + b"\0" * (len(content) & 1)


def wav(*chunks, container=b"RIFF", fmt=None, data=bytes(200), told=None):
    """A file of these chunks around samples of 16 bits, one channel."""
    order = ORDERS.get(container, "<")
    fmt = fmt or struct.pack(f"{order}HHIIHH", 1, 1, RATE, RATE * 2, 2, 16)
    body = b"WAVE" + b"".join(chunks) + chunk(b"fmt ", fmt, order)
    body += chunk(b"data", data, order) if told is None else b"data" + struct.pack(f"{order}I", told) + data
    return container + struct.pack(f"{order}I", len(body)) + body


def row_of(folder, content, **options):
    (folder / "a.wav").write_bytes(content)
    (table,) = read(files._read_wav, folder, **options)
    return table.to_pylist()[0]


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_every_codec_with_its_levels(tmp_path, subtype, container):
    if container != "WAV" and subtype == "IMA_ADPCM":
        pytest.skip("libsndfile writes it in RIFF only")
    soundfile.write(tmp_path / "a.wav", SIGNAL, RATE, subtype=subtype, format=container)
    row = read(files._read_wav, tmp_path)[0].to_pylist()[0]
    samples, _ = soundfile.read(tmp_path / "a.wav", always_2d=True)
    assert (row["codec"], row["bits"]) == SUBTYPES[subtype]
    assert (row["channels"], row["sample_rate"], row["frames"]) == (2, RATE, len(samples))
    assert row["duration_s"] == len(samples) / RATE
    assert row["container"] == ("RF64" if container == "RF64" else "RIFF")
    assert [level["peak"] for level in row["levels"]] == pytest.approx(np.abs(samples).max(axis=0))
    assert [level["rms"] for level in row["levels"]] == pytest.approx(np.sqrt((samples**2).mean(axis=0)))
    assert row["levels"][0]["peak_dbfs"] == pytest.approx(-6.02, abs=0.3)


@pytest.mark.parametrize("container", ORDERS)
def test_an_extensible_format_has_its_codec_in_a_guid(container):
    guid = struct.pack(f"{ORDERS[container]}IHH", 3, 0, 16) + b"\x80\0\0\xaa\0\x38\x9b\x71"
    fmt = struct.pack(f"{ORDERS[container]}HHIIHHHHI", 0xFFFE, 2, RATE, RATE * 8, 8, 32, 22, 32, 3) + guid
    found = read_wave(io.BytesIO(wav(fmt=fmt, container=container))).fmt
    assert (found["codec"], found["channels"], found["bits"], found["channel_mask"]) == ("float", 2, 32, 3)


def test_bw64_is_read_as_rf64(tmp_path):
    soundfile.write(tmp_path / "r.wav", SIGNAL, RATE, subtype="PCM_16", format="RF64")
    content = (tmp_path / "r.wav").read_bytes()
    (tmp_path / "r.wav").unlink()
    row = row_of(tmp_path, b"BW64" + content[4:])
    assert (row["container"], row["frames"]) == ("BW64", len(SIGNAL))
    assert row["levels"][0]["peak"] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("subtype", [one for one in SUBTYPES if one != "IMA_ADPCM"])
def test_rifx_has_big_endian_numbers(tmp_path, subtype):
    """Against the same samples in RIFF."""
    for endian in ("LITTLE", "BIG"):
        (tmp_path / endian).mkdir()
        soundfile.write(tmp_path / endian / "a.wav", SIGNAL, RATE, subtype, endian)
    assert (tmp_path / "BIG" / "a.wav").read_bytes()[:4] == b"RIFX"
    little, big = (
        read(files._read_wav, tmp_path / endian, samples="column")[0].to_pylist()[0] for endian in ("LITTLE", "BIG")
    )
    assert (big.pop("container"), little.pop("container")) == ("RIFX", "RIFF")
    assert big.pop("file_url") != little.pop("file_url")
    assert big.pop("modification_date") and little.pop("modification_date")
    assert big == little and big["codec"] == SUBTYPES[subtype][0] and len(big["samples"]) == 2 * len(SIGNAL)
    assert (
        told_of(FileItemDict({"file_url": f"file://{tmp_path}/BIG/a.wav"}, fsspec.filesystem("file"))).format == "wav"
    )


@pytest.mark.parametrize("container", ORDERS)
def test_metadata_chunks(tmp_path, container):
    def pack(form, *values):
        return struct.pack(ORDERS[container] + form, *values)

    def part(name, content):
        return chunk(name, content, ORDERS[container])

    info = b"INFO" + part(b"INAM", b"Title\0") + part(b"IART", "Börn".encode("cp1252") + b"\0") + part(b"IXYZ", b"own")
    cues = pack("I", 2) + pack("II4sIII", 1, 10, b"data", 0, 0, 10) + pack("II4sIII", 2, 50, b"data", 0, 0, 50)
    adtl = b"adtl" + part(b"labl", pack("I", 1) + b"start\0") + part(b"note", pack("I", 2) + b"n\0")
    adtl += part(b"ltxt", pack("II4sHHHH", 2, 30, b"rgn ", 0, 0, 0, 0) + b"text\0")
    smpl = pack("9I", 0, 0, 0, 60, 1 << 31, 0, 0, 1, 0) + pack("6I", 7, 1, 5, 90, 0, 3)
    bext = b"desc".ljust(256, b"\0") + b"me".ljust(32, b"\0") + b"ref".ljust(32, b"\0") + b"2024-01-02" + b"03:04:05"
    bext += pack("IIH", 5, 1, 2) + bytes(64) + pack("5h", -2300, 500, -100, 0x7FFF, -2000) + bytes(180) + b"A=PCM"
    content = wav(
        part(b"LIST", info),
        part(b"cue ", cues),
        part(b"LIST", adtl),
        part(b"smpl", smpl),
        part(b"bext", bext),
        part(b"iXML", b"<a/>"),
        part(b"odd ", b"x"),
        container=container,
    )
    row = row_of(tmp_path, content)
    assert (row["container"], row["frames"], row["sample_rate"]) == (container.decode(), 100, RATE)
    assert row["tags"] == {"title": "Title", "artist": "Börn", "ixyz": "own"}
    assert row["cue_points"] == [
        {"id": 1, "position": 10, "frame": 10, "label": "start", "note": None},
        {"id": 2, "position": 50, "frame": 50, "label": None, "note": "n"},
    ]
    assert row["regions"] == [
        {"cue_id": 2, "frame": 50, "length_frames": 30, "purpose": "rgn", "text": "text", "label": None}
    ]
    assert row["loops"] == [
        {"id": 7, "kind": "alternating", "start_frame": 5, "end_frame": 90, "fraction": 0.0, "play_count": 3}
    ]
    assert row["instrument"] == {"unity_note": 60, "fine_tune_semitones": 0.5}
    assert row["ixml"] == "<a/>"
    told = row["bext"]
    assert (told["description"], told["originator"], told["origination_date"]) == ("desc", "me", "2024-01-02")
    assert (told["time_reference_frames"], told["loudness_value"], told["max_momentary_loudness"]) == (
        (1 << 32) + 5,
        -23.0,
        None,
    )
    assert told["coding_history"] == "A=PCM"
    tables = read_tables(run(files, "read_wav", tmp_path, tmp_path / "work", "*.wav"))
    assert [row["label"] for row in tables["t__cue_points"]] == ["start", None]
    assert tables["t"][0]["tags__title"] == "Title"
    assert len(tables["t__levels"]) == len(tables["t__loops"]) == len(tables["t__regions"]) == 1


def test_samples_as_a_column_as_frames_and_as_bytes(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", SIGNAL, RATE, subtype="FLOAT")
    row = read(files._read_wav, tmp_path, samples="column")[0]
    assert np.array_equal(row["samples"].combine_chunks().values.to_numpy().reshape(-1, 2), SIGNAL.astype("float32"))
    row = read(files._read_wav, tmp_path, samples="bytes", levels=False)[0]
    assert row["content"][0].as_py() == (tmp_path / "a.wav").read_bytes()
    monkeypatch.setenv("HEADRACE__BATCH_BYTES", "100000")
    tables = read_tables(run(files, "read_wav", tmp_path, tmp_path / "work", "*.wav", samples="frames"))
    frames = sorted(tables["t_frames"], key=lambda frame: frame["frame"])
    assert [frame["frame"] for frame in frames] == list(range(len(SIGNAL)))
    assert [frame["channel_1"] for frame in frames] == SIGNAL[:, 1].astype("float32").tolist()
    assert frames[0]["file_name"] == "a.wav"
    assert tables["t"][0]["frames"] == len(SIGNAL)


def test_a_long_file_takes_no_more_memory(tmp_path):
    """An hour of silence and a tone, 16 kHz: 115 MB of samples, decoded as doubles 461 MB."""
    import tracemalloc

    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        for _ in range(60):
            out.writeframes(bytes(2 * 16_000 * 60))
        out.writeframes(struct.pack("<h", 16_384) * 16_000)
    tracemalloc.start()
    row = read(files._read_wav, tmp_path)[0].to_pylist()[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row["duration_s"] == 3601
    assert row["levels"][0]["peak"] == 0.5
    assert peak < 8 << 20


def real_files():
    """WAV files that nobody here wrote: CPython's and soundfile's, where they are installed."""
    folder = Path(sysconfig.get_paths()["stdlib"]) / "test"
    return sorted(folder.glob("audiodata/*.wav")) + sorted(folder.glob("wavdata/*.wav"))


def test_files_of_cpython(tmp_path):
    if not (found := real_files()):
        pytest.skip("this Python came without its test files")
    for path in found:
        row = row_of(tmp_path, path.read_bytes())
        info = soundfile.info(path)
        assert (row["frames"], row["channels"], row["sample_rate"]) == (info.frames, info.channels, info.samplerate)


BAD = {
    "empty": (b"", "the file is empty: 0 bytes"),
    "misnamed": (b"ID3\x04" + bytes(100), "no WAV file: expected RIFF, RIFX, RF64 or BW64 and WAVE at byte 0"),
    "header_only": (wav()[:12], "the file is cut: it has no chunk"),
    "no_data": (wav()[:36], "the file is cut: it has no chunk `data`; its chunks are fmt"),
    "cut": (wav()[:-50], "byte 194: .*the file is cut: its samples have 150 of 200 bytes"),
    "fmt_cut": (wav()[:30], "the file is cut: chunk `fmt ` at byte 12 has 10 of 16 bytes"),
    "fmt_short": (wav(fmt=b"\1\0\1\0"), "chunk `fmt ` has 4 bytes, at least 16 are needed"),
    "fmt_no_channels": (wav(fmt=struct.pack("<HHIIHH", 1, 0, RATE, 0, 0, 16)), "chunk `fmt ` says 0 channels"),
    "extensible": (wav(fmt=struct.pack("<HHIIHH", 0xFFFE, 1, RATE, RATE, 2, 16)), "is extensible and has 16 bytes"),
    "codec": (wav(fmt=struct.pack("<HHIIHHH", 0x7777, 1, RATE, RATE, 2, 16, 0)), "libsndfile cannot read it"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_an_error_with_its_place(tmp_path, kind):
    content, message = BAD[kind]
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(Exception, match=message) as raised:
        read(files._read_wav, tmp_path)
    assert f"{tmp_path}/bad.wav" in str(raised.value)
    assert read(files._read_wav, tmp_path, on_error="skip_file") == []


def test_a_recorder_that_was_cut_off_left_all_its_samples(tmp_path):
    assert row_of(tmp_path, wav(told=0xFFFFFFFF), levels=False)["frames"] == 100


def test_many_chunks_and_entries_are_bounded():
    with pytest.raises(ValueError, match="more than 10000 chunks"):
        read_wave(io.BytesIO(wav(*[chunk(b"junk", b"")] * 10_001)))
    lying = struct.pack("<I", 0xFFFFFFFF) + bytes(24)
    assert len(read_wave(io.BytesIO(wav(chunk(b"cue ", lying)))).cues) == 1
    lying = struct.pack("<9I", 0, 0, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0) + bytes(24)
    assert len(read_wave(io.BytesIO(wav(chunk(b"smpl", lying)))).loops) == 1


def test_random_chunks_are_values_or_an_error(tmp_path):
    """`read_wave` raises nothing but `ValueError`, whatever the bytes: headers of ours, libsndfile's and CPython's, changed."""
    random.seed(8)
    written = [*headers_of_libsndfile(tmp_path), *(path.read_bytes() for path in real_files())]
    parts = [
        b"LIST",
        b"INFO",
        b"adtl",
        b"cue ",
        b"smpl",
        b"bext",
        b"fmt ",
        b"ds64",
        b"inst",
        b"fact",
        b"labl",
        b"ltxt",
        b"\xff\xff\xff\xff",
    ]
    seed = wav(
        chunk(b"LIST", b"INFO" + chunk(b"INAM", b"x")),
        chunk(b"cue ", struct.pack("<I", 1) + bytes(24)),
        chunk(b"smpl", bytes(60)),
        chunk(b"bext", bytes(700)),
    )
    big_endian = wav(
        chunk(b"LIST", b"adtl" + chunk(b"ltxt", bytes(24), ">"), ">"),
        chunk(b"cue ", struct.pack(">I", 1) + bytes(24), ">"),
        chunk(b"smpl", bytes(60), ">"),
        container=b"RIFX",
    )
    written.append(big_endian)
    n_read = n_big_endian = 0
    for number in range(5_000):
        content = bytearray((seed, *written)[number % (1 + len(written))])
        for _ in range(random.choice([1, 2, 8])):
            at = random.randrange(min(len(content), 400))
            if random.random() < 0.5:
                content[at] = random.randrange(256)
            else:
                content[at : at + 4] = random.choice(parts)
        if random.random() < 0.3:
            del content[random.randrange(len(content)) :]
        try:
            found = read_wave(io.BytesIO(content))
        except ValueError:
            continue
        n_read += 1
        n_big_endian += found.container == "RIFX"
        assert found.data_bytes <= len(content)
    assert n_read > 1000 and n_big_endian > 100


def headers_of_libsndfile(folder):
    """Files with a few samples, as libsndfile writes them."""
    for kind, subtype, *endian in (
        ("WAV", "PCM_24"),
        ("WAVEX", "FLOAT"),
        ("RF64", "PCM_16"),
        ("WAV", "ULAW"),
        ("WAV", "MS_ADPCM"),
        ("WAV", "PCM_32", "BIG"),
    ):
        soundfile.write(folder / "a.wav", [0.0, 0.5, -0.5] * 4, RATE, subtype, *endian, format=kind)
        yield (folder / "a.wav").read_bytes()
