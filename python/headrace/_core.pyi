"""The engine: fetch, decode, normalize, emit, off the GIL. One `Engine` serves one extraction.

Page life: `Engine.submit` -> loop thread fetches -> a worker decodes -> `Engine.poll` hands the `Page` to Python (the
pager thread) -> `Stream.accept` (in the order the rows shall have) -> a worker normalizes -> rows are committed in accept
order -> `Stream.next_batch` gives Arrow. A page that is not accepted is dropped by `Page.release`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypedDict

__version__: Final[str]

# One step of a data selector: a member name, an array index, or None for `[*]`.
Step = str | int | None
# name, data_type ("" while incomplete), flags, precision, scale
Column = tuple[str, str, int, int, int]
# name, parent's name or None, max_nesting or -1, columns in order (None: a contract leaves the table's rows out)
Table = tuple[str, str | None, int, list[Column] | None] | tuple[str, str | None, int, list[Column] | None, str]

# label, index of the column in the batch or -1 (null), data_type, whether timestamps have no zone
TextColumn = tuple[bytes, int, str, bool]

class TextLayout(TypedDict):
    """What stands around and in the values of a load file's text: `hr_text_layout` of src/emit/text.h."""

    row_open: str
    row_between: str
    row_close: str
    cell_between: str
    null: str
    skip_null: int  # 1: nulls are left out with their label
    cells: dict[str, tuple[str, str, str]]  # by data_type: "wrapped", "escaped" or "quoted"; before; behind
    escapes: dict[str, str]  # of ASCII characters
    quoted: str  # characters that make a "quoted" value stand in quotes
    refused: str  # those of them that cannot be written even so
    true: str
    false: str
    orjson_doubles: int
    bytes: int  # 1 hex, 2 base64, 3 UTF-8
    bytes_max: int
    size_close: str
    date_time: int  # the character between date and time
    zone: str

COL_NOT_NULL: Final[int]
COL_VARIANT: Final[int]
COL_PRIMARY_KEY: Final[int]
COL_DISCARD_VALUE: Final[int]
COL_DISCARD_ROW: Final[int]
COL_DISCARD_VARIANT: Final[int]
NAME_COLUMN: Final[int]
NAME_PATH: Final[int]
NAME_JOIN: Final[int]
ID_MAX_BYTES: Final[int]  # of `id_bytes`
ID_NAMES: Final[int]  # under so many names `_dlt_id` may be propagated
MAX_COLUMNS: Final[int]  # of a table
MAX_TABLES: Final[int]  # of a stream
RULE_LEFT_OUT: Final[int]
RULE_NOT_NULL: Final[int]
RULE_JSON: Final[int]

class Error(Exception):
    """What went wrong in the engine, and where.

    Attributes:
        code: one of "MEMORY", "LIMIT", "SYNTAX", "ENCODING", "NETWORK", "TIMEOUT", "TLS", "REDIRECT", "NULL_VALUE",
            "COERCE", "RANGE", "UNSUPPORTED", "ARGUMENT", "CANCELLED", "INTERNAL", "IO", ...
        stage: "fetch", "decode", "normalize", "emit" or "run".
        retriable: whether the same request may succeed later.
        tag: the page's tag as given to `submit`, or -1.
        record: index of the record in its page, or -1.
        offset: byte offset in the decoded body, or -1.
        table, column: where in the schema, or "".
    """

    code: str
    stage: str
    retriable: bool
    tag: int
    record: int
    offset: int
    http_status: int
    table: str
    column: str

class Page:
    """One answer, fetched and decoded (or failed). Attributes are read-only."""

    tag: int
    status: int  # 0: no answer came
    reason: str
    url: str  # after redirects; may hold secrets
    headers: list[tuple[str, str]]  # bytes as latin-1
    attempts: int
    throttled: int  # attempts that ended in 429, 503 or a time-out
    window: int  # requests that its host may be asked at once now
    wire_bytes: int
    elapsed_ms: float
    size: int  # bytes of the decompressed body
    error: Error | None  # fetch or decode failed; status >= 400 is no error and is not decoded
    encoded: bool  # the body is as its Content-Encoding says (libcurl cannot undo it) and was not decoded
    is_early: bool  # no page yet: `body` is what was asked for early
    decoded: bool
    n_records: int  # selected by the stream's selector (or `select`); 0 before
    fingerprint: int  # of the body: equal bodies have the same
    def body(self) -> bytes: ...
    def decode(self, body: bytes | None = None, lines: bool = False) -> None:
        """Decodes `body` (UTF-8 JSON text; `lines`: JSON lines) in place of the answer's; then selects. Raises `Error`."""
    def select(self, steps: Sequence[Step] | None) -> int:
        """Selects the records as dlt's `extract_response` does: one match that is a list gives its elements, one match
        that is null gives none, any other match or several matches are the records. Returns their number.
        """
    def shape(self) -> bytes:
        """JSON text of the document with every array below (or at) the root as `[]`."""
    def envelope(self) -> bytes:
        """JSON text of the document with the selected record arrays as `[]`."""
    def project(self, keys: Sequence[str] | None, keep: bytes | None = None) -> bytes:
        """JSON text: a list with, for each record (whose byte in `keep` is not 0), an object of just these members (a
        record that is no object stands as it is); None: whole records.
        """
    def texts(self, keep: bytes | None = None, extra: bytes | None = None) -> list[bytes]:
        """JSON text of each record (whose byte in `keep` is not 0), as orjson writes it, with the members of `extra` (an
        object as compact JSON text) over those of objects. Raises `Error` for what orjson refuses.
        """
    def release(self) -> None:
        """Drops the page and its memory; further calls raise. Also done by the garbage collector."""

class TableBatch:
    """Rows of one table, exported once through `__arrow_c_array__`."""

    name: str
    parent: str | None
    n_rows: int
    n_bytes: int  # of its buffers
    columns: list[tuple[str, str, bool]]  # name, Arrow format, whether it may be null; empty once it is exported
    is_new: bool  # this table was not in the seed nor in an earlier batch
    new_columns: list[Column]  # added or completed since the seed or the earlier batch, in order
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[Any, Any]: ...

class Stream:
    """The rows of one resource: one root table and the tables nested under it."""

    n_accepted: int
    n_committed: int  # of the accepted pages
    n_records: int  # of the committed pages, before what contracts and filters leave out
    def select(self, steps: Sequence[Step]) -> None:
        """Sets the selector of pages decoded from now on."""
    def accept(self, page: Page, keep: bytes | None = None, extra: bytes | None = None) -> None:
        """Gives the page's records to the workers. Order of calls is order of rows. `keep`: a byte a record, 0 leaves it
        out. `extra`: JSON text of an object merged into each object record. The page is released by the engine.
        """
    def feed(
        self,
        tag: int,
        body: bytes | bytearray | memoryview,
        in_brackets: bool = False,
        skip: int = 0,
        lines: bool = False,
    ) -> None:
        """Accepts a page whose bytes are here, as `Engine.submit_bytes` and `accept` without a look between. The selector
        must be set. `in_brackets`: the bytes are elements of an array without its brackets (`split_records`). `skip`: so
        many records at its start are left out. `lines`: JSON lines, a record a line. Order of calls is order of rows.
        """
    def feed_file(self, tag: int, fd: int, offset: int, size: int, skip: int = 0) -> None:
        """`feed` of the JSON lines that stand in an open file, `size` bytes from `offset` on: a worker reads them. `fd` may be
        closed once this has returned. What cannot be read is the page's `Error`, code IO.
        """
    def null_columns(self) -> list[tuple[str, str]]:
        """Tables and columns that have only been null and are in no table; some more than once."""
    def finish(self) -> None:
        """No more pages: the last batch has `None` after it."""
    def next_batch(self, timeout_ms: int) -> list[TableBatch] | bool | None:
        """The next rows, parents before children: a list; `False` when time ran out; `None` at the end. The root table
        stands first and is always there (maybe with 0 rows). Raises the first `Error` of a page (with `tag`).
        """
    def wait_committed(self, timeout_ms: int) -> bool:
        """Waits until the rows of all pages are there for `next_batch`. False: time ran out, or a page failed."""
    def has_grown(self) -> bool:
        """Whether committed pages added tables or columns that no batch has told of."""
    def is_behind(self) -> bool:
        """Whether twice `batch_bytes` wait for `next_batch`: more pages would only fill the memory."""

class CsvInfo(TypedDict):
    """What a `CsvReader` found: `hr_csv_info` of src/decode/csv.h."""

    names: list[str] | None  # None: no row of data yet
    delimiter: str
    encoding: str
    encoding_confidence: float  # 0 to 1; 1: given, or by a byte order mark
    dialect_confidence: float
    rows: int  # given to the stream
    short: int  # of them, with fewer fields than columns
    long: int  # rows with more
    bad_lines: list[int]  # where the first of those are
    done: bool  # max_rows are read
    leading: int  # fields before the first named column, left out

class CsvReader:
    """Reads one CSV file for a stream of the engine, in chunks of rows, a page each. Options: `hr_csv_options`."""

    def __new__(
        cls,
        engine: Engine,
        /,
        *,
        delimiter: str = ",",
        quote: str | None = '"',
        escape: str | None = None,
        comment: str | None = None,
        decimal: str = ".",
        thousands: str | None = None,
        doublequote: bool = True,
        skip_space: bool = False,
        skip_blank_lines: bool = True,
        sniff: bool = False,
        encoding: str = "",
        ragged: str = "",
        portable: bool = False,
        skip_rows: int = 0,
        header: int = 0,
        max_rows: int = -1,
        names: tuple[str, ...] | None = None,
        use_names: tuple[str, ...] | None = None,
        use_places: tuple[int, ...] | None = None,
        kinds: tuple[tuple[str, str], ...] = (),
        kind: str = "",
        nulls: tuple[str, ...] | None = None,
        chunk_rows: int = 10000,
        chunk_bytes: int = ...,
        max_field_bytes: int = ...,
        max_columns: int = 16384,
    ) -> CsvReader:
        """`encoding`: "utf-8", "utf-16-le", "utf-16-be", "iso-8859-1", "windows-1252" or "": found by its bytes. `ragged`: "",
        "raise", "skip" or "pad" (`hr_csv_ragged`). `kinds`: of columns, "int", "float", "bool" or "text"; `kind`: of the
        others, "" as in pandas, by what a chunk's values are.
        """
    def feed(self, stream: Stream, tag: int, data: bytes | memoryview) -> int:
        """Takes the next bytes of the file: all, or as many as make a chunk, which goes to the stream as a page. Returns how
        many. Raises `Error`.
        """
    def finish(self, stream: Stream, tag: int) -> bool:
        """The end of the file. Gives the stream a chunk and is true, or there was none left. Raises `Error`."""
    def info(self) -> CsvInfo: ...

class Pacer:
    """What is known of hosts: how many requests each takes at once and in a time. Engines that are given the same one share
    it, in any threads; a host is remembered for a minute after its last request, or as long as its limits need.
    """

class Route:
    """How a client's requests get to their host. `rate_limits`: pairs (requests, milliseconds), all of which hold, in any
    stretch of that time; `cost`: what a request counts for; `max_per_second`: evenly; `learn_limits`: whether the server's
    own words (`RateLimit`, `X-RateLimit-...`) are heeded. Limits are the host's: the strictest of all routes to it holds.
    `retry_statuses`: pairs (from, to), empty: 429 and 500 to 599; `retry_unsafe`: also a POST or PATCH that may have been
    acted on; `max_total_ms`: no attempt begins later after the first; `breaker`: after so many requests in a row without an
    answer the host is left alone for `breaker_ms` (0: never). `resolve`: lines "host:port:address"; `allowed_hosts`: lines
    "host" or "*.domain", no others are asked; `secret_headers`: names that another origin does not get after a redirect, beside
    Authorization; `min_tls`: 10, 11, 12, 13, or 0 for libcurl's own; `key_password`: of the
    file that has the key of the client certificate.
    """

    def __init__(
        self,
        *,
        proxy: str = "",
        ca_path: str = "",
        cert_path: str = "",
        key_path: str = "",
        resolve: str = "",
        interface: str = "",
        allowed_hosts: str = "",
        secret_headers: str = "",
        min_tls: int = 0,
        verify_tls: bool = True,
        connect_timeout_ms: int = 60000,
        read_timeout_ms: int = 60000,
        max_redirects: int = 30,
        max_attempts: int = 5,
        backoff_ms: int = 1000,
        max_delay_ms: int = 300000,
        max_total_ms: int = 0,
        retry_statuses: Sequence[tuple[int, int]] = (),
        retry_unsafe: bool = False,
        breaker: int = 0,
        breaker_ms: int = 0,
        max_body_bytes: int = 1073741824,
        rate_limits: Sequence[tuple[int, int]] = (),
        cost: int = 1,
        max_in_flight: int = 0,
        max_per_second: float = 0,
        learn_limits: bool = True,
        key_password: str = "",
    ) -> None: ...

class Pager:
    """A stream's pages whose URLs differ in one number, asked for and accepted by the engine as long as they are ordinary;
    any other is given by `Engine.poll`, and the pager is held until `resume`, `pass_on` or `drop` (src/run/pager.c).
    """

    def __init__(
        self,
        stream: Stream,
        tag: int,  # page N has tag + N
        route: Route,
        method: str,
        headers: Sequence[tuple[str, bytes]],
        first: Page,
        before: str,
        after: str,
        number: int,
        value: int,
        step: int,
        limit: int | None,
        maximum: int | None,
        total: Sequence[Step] | None,
        total_base: int,
        more: Sequence[Step] | None,
        selector: Sequence[Step] | None,
        stops_when_empty: bool,
        content_type: str | None,
        window: int,
        max_window: int,
    ) -> None: ...
    def resume(self) -> None: ...
    def poke(self) -> None: ...
    def pass_on(self) -> None: ...
    def drop(self) -> None: ...
    def report(self) -> dict[str, Any]:
        """next, n_sent, pages, records, requests, bytes (so far), last_size, last_records, last_hash, window, throttled."""

class Engine:
    def __init__(
        self,
        *,
        workers: int = 0,
        memory_limit: int = 268435456,
        keep: int = 25165824,  # bytes of freed memory that wait for the next pages
        max_in_flight: int = 64,
        max_in_flight_per_host: int = 16,
        first_window: int = 3,
        max_pause_ms: int = 3600000,
        pacer: Pacer | None = None,
        max_depth: int = 1024,
        seed: bytes | None = None,
    ) -> None: ...
    def stream(
        self,
        *,
        table: str,
        tables: Sequence[Table],
        load_id: str,
        max_nesting: int,
        max_length: int,
        id_kind: str,  # "random", "key_hash", "row_hash"
        root_key: bool = False,
        selector: Sequence[Step] | None = None,
        batch_bytes: int = 8388608,
        reference_only: bool = False,
        naming: Callable[[int, tuple[str, ...]], str] | None = None,
        no_coercion: bool = False,
        fixed_schema: bool = False,
        stop_at_record: bool = False,
        leave_double_decimals: bool = False,
        leave_typed_timestamps: bool = False,
        leave_naive_timestamps: bool = False,
        leave_typed_moments: bool = False,
        id_bytes: int = 10,
        for_text: bool = False,
        propagations: Sequence[tuple[str | None, str, str]] = (),
        rules: Callable[[str, str], int] | None = None,
        wei_precision: tuple[int, int] = (0, 0),
        format: str = "json",  # "lines": JSON lines; "other": the caller decodes pages (`Page.decode`)
    ) -> Stream:
        """`selector` None: each page is selected by the caller (`Page.select`). `batch_bytes`: a batch leaves when it
        holds this much, or an eighth while pages are waited for or memory is short, or at the end. `naming`: gives
        names in place of snake_case, called by workers: (NAME_COLUMN, (key,)), (NAME_PATH, (key,)) or (NAME_JOIN, parts).
        `rules`: gives RULE_ flags of (table, column), called by workers once for each new key.
        `no_coercion`: a value of another type than its column's makes a variant. `fixed_schema`: a record that would add
        to the schema is an `Error` SCHEMA. `stop_at_record`: after an `Error` with a record, `next_batch` has given all
        rows of the records before it, and the rest may be given to another stream. `leave_double_decimals`,
        `leave_typed_timestamps`, `leave_naive_timestamps`, `leave_typed_moments`: a double that goes to a decimal column, and a
        timestamp of dlt's typed text that goes to a timestamp column, or does without an offset, or goes to another column, is
        an `Error` UNSUPPORTED. `for_text`: decimal columns are text
        (`str(Decimal)`), and JSON text of a scalar that goes to a json column is an `Error` UNSUPPORTED. `propagations`: columns
        that rows below get (table or None: each whose rows hang on no other; from; as); `root_key` is `_dlt_id` as
        `_dlt_root_id` of the root. `id_bytes`: the length of ids before base64. `wei_precision`: digits in all and
        behind the point of new wei columns; (0, 0): they are an `Error` UNSUPPORTED.
        """
    def submit(
        self,
        stream: Stream,
        tag: int,
        route: Route,
        method: str,
        url: str,
        headers: Sequence[tuple[str, bytes]],
        body: bytes | None = None,
        delay_ms: int = 0,
        more: bool = False,
        early_path: bytes = b"",
        early_header: str = "",
    ) -> None:
        """Sends a request on its way, not before `delay_ms`. `more`: others follow, then `flush`. `early_path` (keys, each with a zero
        byte behind it) or `early_header`: what is there comes in a page that `is_early`, if the body takes longer.
        """

    def flush(self) -> None:
        """Sends what was submitted with `more` on its way."""

    def submit_bytes(self, stream: Stream, tag: int, body: bytes, url: str = "") -> None:
        """A page whose bytes are already here (tests; a body Python fetched)."""
    def poll(self, timeout_ms: int) -> list[Page]:
        """Pages that are fetched and decoded or have failed, in order of completion. Waits without the GIL; [] when time
        ran out or `wake` was called. Raises `Error` CANCELLED after `cancel`.
        """
    def wake(self) -> None: ...
    def is_full(self) -> bool: ...
    def stats(self) -> dict[str, float]:
        """requests, retries, wire_bytes, body_bytes, in_flight, max_in_flight_seen, queued, backoff_ms (waited before further attempts,
        each request's counted), throttled_ms (time in which a host's rate budget or a pause held requests back), held_ms (how
        long that lasts yet), memory,
        memory_peak, pages, rows, renormalized, fast_records, reference_records.
        """
    def cancel(self) -> None:
        """Everything in flight ends; every waiting call raises `Error` CANCELLED. Any thread."""
    def close(self) -> None:
        """Cancels, joins the threads (within 200 ms), frees. Idempotent."""

class Records:
    """Where the records of a JSON document stand, found as it is read: the elements of the array at a path of keys, as they
    are written, or the one object there.
    """

    n_commas: int  # between records, so far
    def __init__(self, path: tuple[bytes, ...]) -> None: ...
    def scan(self, chunk: bytes | bytearray | memoryview) -> tuple[int, int, bool]:
        """The next bytes: from where they hold the records' text (-1: nowhere), at which comma between two records the last
        complete one ends (-1: none), and whether the last of all ends there. Raises `Error` with `offset`.
        """
    def finish(self) -> None:
        """No more bytes. Raises `Error` if the document is not complete."""

class XmlReader:
    """XML as JSON text, as it arrives: a line a record (src/decode/xml.h)."""

    n_records: int  # so far
    root: str  # name of the first element, "" before it
    def __init__(
        self,
        path: tuple[str, ...],
        lists: tuple[str, ...],
        attribute_prefix: str,
        text_key: str,
        namespaces: bool,
        refuse_doctype: bool,
        encoding: str | None,
        max_record_bytes: int,
    ) -> None:
        """`path`: names of elements from the root to the records, "*" for any; ("", name): that name at any depth; (): the document
        is the record, `{root: value}`. `lists`: names of elements that are lists, also of one. `namespaces`: names are local
        ones, `{uri}name` in the path; else as they stand. `encoding`: whatever the document declares; None: as it declares.
        Raises `Error` ARGUMENT.
        """
    def feed(self, data: bytes | bytearray | memoryview, is_last: bool = False) -> tuple[bytes, Error | None]:
        """Lines of the records that end in the next bytes, and what is wrong behind them: SYNTAX, UNSUPPORTED (entities, a
        document type), LIMIT, with `offset` and, if there is a path, `record`. Nothing is to be fed after an error.
        """

def normalize_json(
    body: bytes,
    *,
    table: str,
    tables: Sequence[Table],
    load_id: str,
    max_nesting: int = 1000,
    max_length: int = 0,
    id_kind: str = "random",
    root_key: bool = False,
    reference_only: bool = False,
    portable: bool = False,
    seed: bytes | None = None,
) -> list[TableBatch]:
    """Decodes a JSON array of records and normalizes it in the calling thread: the stages without fetch and run (tests,
    `./dev bench normalize`).
    """

def split_records(body: bytes | memoryview, target_bytes: int, likely: bool = False) -> list[tuple[int, int]]:
    """Cuts the text of a JSON array into slices [from, to) of whole elements, each of `target_bytes` or a little more; []
    when it is no array or cannot be cut. Whether the elements are well-formed is not looked at. `likely`: cuts where
    records are likely to begin, without reading all of it; if each slice decodes, they were cut right.
    """

def write_text(
    batch: Any,
    layout: TextLayout,
    columns: list[TextColumn],
    follows: bool,
    write: Callable[[bytes], object],
) -> None:
    """Writes the rows of an Arrow batch (`__arrow_c_array__`) as text, off the GIL but for `write`, which gets pieces of
    about 1 MiB. `follows`: `row_between` stands before the first row too. Raises `Error` (code UNSUPPORTED, ENCODING, RANGE,
    LIMIT) with `record`, the row at fault; all rows before it are written.
    """

class ParquetWriter:
    """A Parquet file that is being written, off the GIL but for `write`, which gets its bytes in order."""

    def __new__(
        cls,
        columns: list[tuple[str, str, bool]],
        write: Callable[[bytes], object],
        *,
        page_bytes: int = 1 << 20,
        group_rows: int = 1 << 20,
        compress: bool = True,
    ) -> ParquetWriter:
        """`columns`: name, Arrow format (`b`, `l`, `g`, `u`, `z`, `tdD`, `ttu`, `tsu:UTC`, `tsu:`, `d:PRECISION,SCALE` of at
        most 38 digits), whether it may be null. `page_bytes`: of a data page before compression, about. `group_rows`: in a row
        group, at most. `compress`: with Snappy, the columns that it makes smaller. Raises `Error` (UNSUPPORTED: another format).
        """
    def write(self, batch: Any) -> None:
        """Writes the rows of an Arrow struct array (a `TableBatch`, which keeps them, or `__arrow_c_array__`) as row groups.
        Columns are found by name; a nullable one may be missing. Raises `Error`: UNSUPPORTED, with nothing written, if a
        column is not the file's; NULL_VALUE, RANGE, LIMIT, and what `write` raises: the file is no good then.
        """
    def finish(self) -> None:
        """Writes the footer. Raises what `write` raises."""

def count_lines(body: bytes | bytearray | memoryview) -> int:
    """Line ends in it."""

def nested_rows(offsets: Any, first: int, stop: int) -> tuple[bytes, bytes]:
    """Of the rows [first, stop) that lists hold one after another: the lists' numbers and the rows' places in them, int64
    each. `offsets`: a buffer of int64, from 0, one more than lists. Raises `ValueError`.
    """

def nested_ids(table: str, offsets: Any, data: Any, indices: Any) -> bytes:
    """dlt's ids of a table's rows, 14 characters each, from their parents' ids (int32 offsets into the text, one more
    than rows) and their places in their lists (int64): `get_nested_row_hash` of dlt. Raises `ValueError`.
    """

def text_ids(offsets: Any, data: Any) -> bytes:
    """Row ids that are hashes of texts, 14 characters each (int32 offsets into the text, one more than rows). Raises
    `ValueError`.
    """

def csv_lines(
    body: bytes,
    delimiter: str,
    quote: str,
    escape: str,
    skip_rows: int,
    names: tuple[str, ...] | None,
    nulls: tuple[str, ...],
    infer: bool,
    limit: int,
    /,
) -> bytes:
    """A body of CSV (UTF-8) as JSON lines, an object a row (`hr__csv_json` of src/decode/csv_json.h). `names`: of the columns;
    None: in the first row behind `skip_rows` rows. `limit`: bytes of the lines. Raises `Error`: SYNTAX and ENCODING with
    record and byte, LIMIT, ARGUMENT.
    """

def sse_lines(body: bytes | bytearray, id: bytes, max_events: int) -> tuple[bytes, int, int, bytes, int]:
    """Server-sent events as JSON lines, `{"event", "id", "data"}` each: the lines of the whole events in `body` (at most
    `max_events`), bytes used, number of events, the last event's id (`id`: before them), milliseconds of `retry` or -1.
    """

def random_ids(n_rows: int) -> bytes:
    """Random row ids, 14 characters each."""

def name_column(key: str, max_length: int = 0) -> str: ...
def name_path(path: str, max_length: int = 0) -> str: ...
def iso_parse(text: str) -> tuple[str, tuple[int, ...], int | None] | None:
    """("dt"|"date"|"time", (y, mo, d, h, mi, s, us), offset seconds or None), or None. For tests against dlt."""
