"""One resource in one extraction: what its generator gives to dlt, and what is told and written beside it."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dlt
import pyarrow as pa
from dlt.common import logger
from dlt.common.runtime import signals
from dlt.common.schema import Schema
from dlt.extract.resource import DltResource

from headrace import _core, _schema, _status
from headrace._rest_api.chain import Chain
from headrace._rest_api.incremental import Cursor
from headrace._rest_api.isolation import Memory, is_left_out
from headrace._rest_api.job import Job, Records
from headrace._rest_api.reasons import Way, children_of
from headrace._rest_api.run import Run
from headrace._rest_api.sessions import why_python
from headrace._rest_api.steps import PythonSteps
from headrace._writer import PackageWriter, root_tables
from headrace.config import settings
from headrace.exceptions import ResourceFailed

_LONG_WAIT_S = 10  # worth a warning
_ALONE_MS, _TOGETHER_MS = 100, 10  # how long a generator waits for its rows before another resource may go on
_MOST_PARENTS = 1024  # that wait to be asked for before dlt is kept from bringing the next


class Parents:
    """Records that children need, kept beside the table they left in: by identity, as long as the table lives."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Any, list[Any]]] = {}

    def put(self, table: pa.Table, items: list[Any]) -> None:
        """Remembers the table's records."""
        key = id(table)
        self._found[key] = (weakref.ref(table, lambda _: self._found.pop(key, None)), items)

    def get(self, table: pa.Table) -> list[Any] | None:
        """The table's records."""
        found = self._found.get(id(table))
        return found[1] if found is not None and found[0]() is table else None


parents = Parents()


class Service:
    """Serves one resource natively.

    A resource without parents brings one chain of pages. A dependent one gets more while it runs: `add` takes those of its
    parent's next items, as long as `is_open`. All rows of one time leave through one stream, so that each page's columns
    are known to the next; after a pause there is another stream, which starts from what the schema has become.
    """

    def __init__(
        self,
        run_key: str,
        arguments: dict[str, Any],
        source: Any,
        resource: DltResource,
        way: Way,
        parent_keys: list[str] | bool | None,
        cursor: Cursor | None,
        steps: PythonSteps | None,
        memory: Memory,
    ) -> None:
        self.is_open = True
        self.run_key = run_key
        self._arguments = arguments
        self._resource = resource
        self._way = way
        self._parent_keys = parent_keys
        self._cursor = cursor
        self._steps = steps
        self._memory = memory
        self.was_skipped = False  # nothing more of this resource in this run
        self._n_loaded = 0  # rows of the root table given to dlt
        self._origin: tuple[str | None, int | None] = (None, None)  # of the records that pass the steps
        self._is_selected = resource.name in source.resources.selected
        self._children = [pipe.name for pipe in children_of(source, resource._pipe)]
        self._is_parallel = bool(arguments.get("parallelized"))
        shared = [other.table_name for other in source.resources.selected.values()]
        # Resources of one table keep to dlt's order, a page each in turn: the order of its rows and columns.
        self._is_in_turn = shared.count(resource.table_name) > 1
        self._is_alone = self._is_in_turn or len(source.resources.extracted) == 1
        self._waiting: deque[Callable[[Job], Chain]] = deque()
        self._schema: Schema = dlt.current.source_schema()
        self._caps = _schema.capabilities()

    def add(self, chains: Iterable[Callable[[Job], Chain]]) -> None:
        """Takes chains of pages, to come after those taken before."""
        self._waiting.extend(chains)

    def items(self) -> Iterator[Any]:
        """What the generator yields: tables, or lists of records if only children read them, or None to wait."""
        run = Run.join(self.run_key, settings())
        try:
            while self.is_open:
                yield from self._stream(run)
                self.is_open = bool(self._waiting) and not self.was_skipped
        finally:
            self.is_open = False
            run.leave()

    def _stream(self, run: Run) -> Iterator[Any]:
        job = self._job(run)
        writer = PackageWriter()
        is_done = False
        # Whether dlt's schema has our table: as in dlt, with the first page that passes.
        is_known = not job.makes_tables
        try:
            self._feed(job)
            progress = Progress(job)  # 4 ms, while the first request is under way
            if not self._is_alone:
                yield None  # lets dlt start its other resources before this one waits
            while True:
                hurries = self._feed(job)
                if self._steps is not None:
                    yield from self._map(self._steps, job)
                found = job.next(0 if hurries else _ALONE_MS if self._is_alone else _TOGETHER_MS)
                signals.raise_if_signalled()
                progress.show()
                if not is_known and (job.counts["rows"] or (job.has_passed and self._steps is None)):
                    _schema.prepare_root(self._schema, self._resource)
                    is_known = True
                while not self._is_selected and job.parents:
                    yield [job.parents.popleft() for _ in range(len(job.parents))]
                if found is None:
                    break
                if isinstance(found, Records):
                    self._n_loaded += len(found)
                    yield found
                elif isinstance(found, list):
                    yield from self._emit(writer, job, found)
                elif job.is_idle and not self._waiting:
                    job.finish()
                elif not self._is_alone:
                    yield None
            writer.close()
            self._reconcile(job)
            if job.skipped:
                self._memory.keep(job.skipped)
                self.was_skipped = job.is_skipped
            is_done = True
            if job.empty and job.counts["pages"] and not self._resource.is_transformer and self._steps is None:
                yield []
            elif not job.counts["rows"] and any(map(is_left_out, self._children)):
                yield []  # dlt calls children for what their parent yields: they ask for what was left out before
        finally:
            if not is_done:
                job.stop()
                writer.abort()
            self._note(job)

    def _reconcile(self, job: Job) -> None:
        """Records that stayed have been given to dlt, each once."""
        if self._is_selected and self._n_loaded != job.counts["rows"]:
            text = f"expected {job.counts['rows']} rows, found {self._n_loaded}"
            raise ResourceFailed(f"emit: resource `{self._resource.name}`: {text}")

    def _note(self, job: Job) -> None:
        """Counts for the log, the status and dlt's trace."""
        counts = job.counts
        counted = {
            "requests": counts["requests"],
            "pages": counts["pages"],
            "bytes": counts["bytes"],
            "records": counts["records"],
            "rows": self._n_loaded if self._is_selected else 0,
            "left_out": counts["records"] - counts["rows"],
            "skipped": len(job.skipped),
        }
        name = self._resource.name
        total = _status.note_counts(self.run_key.partition("/")[0], name, counted, job.warnings, job.skipped)
        self._n_loaded = 0
        custom = getattr(self._resource, "custom_metrics", None)
        if custom is not None:
            custom["headrace"] = total
            if job.skipped:
                custom["headrace_skipped"] = [*custom.get("headrace_skipped", []), *job.skipped]
        logger.info(
            f"headrace: resource `{name}`: {counted['records']} records received, {counted['rows']} given to dlt,"
            f" {counted['left_out']} left out by its incremental or its steps"
        )

    def _map(self, steps: PythonSteps, job: Job) -> Iterator[Any]:
        """Lets pages of records pass the steps, and gives what the last of them left to the engine. dlt goes on here when it
        has called the steps; what they yield, it may still be asking for.
        """
        while not steps.is_done and (item := job.next_item()) is not None:
            records, self._origin = item
            yield records
            job.feed(steps.take(), self._origin)
        job.feed(steps.take(), self._origin)
        if steps.is_done:
            job.end_chains()
            self._waiting.clear()
        if job.is_closed and job.is_idle and not job.items:
            while not steps.is_idle:
                yield None
            job.feed(steps.take(), self._origin)
            job.finish_rows()

    def _job(self, run: Run) -> Job:
        schema = self._schema
        if self._is_selected and self._way is Way.TABLES:
            planned = schema.clone()
            root = _schema.prepare_root(planned, self._resource)
            tables = _schema.seed_tables(planned, root)
            options = _schema.normalizer_options(planned, root)
        else:
            root, tables = self._resource.name, []
            options = {"max_nesting": 0, "max_length": 0, "id_kind": "random"}
        return Job(
            run,
            name=self._resource.name,
            schema_name=schema.name,
            client=self._arguments["client"],
            data_selector=self._arguments["data_selector"],
            hooks=self._arguments["hooks"],
            stream_options={
                "table": root,
                "tables": tables,
                "load_id": dlt.current.load_package_state()["load_id"],
                **options,
            },
            cursor=self._cursor,
            parent_keys=self._parent_keys,
            is_selected=self._is_selected,
            is_mapped=self._steps is not None,
            asks_in_python=why_python(self._arguments["client"]) is not None,
            is_parallel=self._is_parallel,
            way=self._way,
            is_replaced=self._resource.write_disposition == "replace",
        )

    def _feed(self, job: Job) -> bool:
        """Gives the job what has come meanwhile. Returns whether there may be more at once: dlt brings parents that were
        yielded one by one between two turns of this generator, so it must not wait in each.
        """
        if job.is_closed:
            return False
        has_come = bool(self._waiting)
        if self._steps is not None and self._steps.is_done:
            self._waiting.clear()
            job.finish()
        if self._waiting:
            job.add([lambda make=make: make(job) for make in self._waiting])  # type: ignore[misc]
            self._waiting.clear()
        if not self._resource.is_transformer:
            job.finish()
        return has_come and job.n_waiting < _MOST_PARENTS

    def _emit(self, writer: PackageWriter, job: Job, batches: list[_core.TableBatch]) -> Iterator[Any]:
        """The root's rows to dlt, then the child tables' into their files."""
        for table in root_tables(self._schema, self._caps, writer, batches):
            if self._parent_keys is not False:
                parents.put(table, [job.parents.popleft() for _ in range(table.num_rows)])
            self._n_loaded += table.num_rows
            if self._steps is not None:
                self._steps.own = table
            yield table
            if self._steps is not None:
                self._steps.own = None
            del table


class Progress:
    """Requests, pages, bytes, rows and requests in flight in dlt's progress display."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shown = dict.fromkeys(job.counts, 0)
        self._in_flight = (-1, 0)
        self._throttled_s = 0
        self._is_told = False  # that it waits for long
        try:
            self._collector: Any = dlt.current.pipeline().collector
        except Exception:
            self._collector = None

    def show(self) -> None:
        """Tells what was added since the last time."""
        if self._collector is None:
            return
        for key, value in self._job.counts.items():
            if value > self._shown[key]:
                self._collector.update(f"{self._job.name} {key}", value - self._shown[key])
                self._shown[key] = value
        stats = self._job.run.engine.stats()
        in_flight, held_s = int(stats["in_flight"]), int(stats["held_ms"] / 1000)
        if (in_flight, held_s) != self._in_flight:
            self._in_flight = (in_flight, held_s)
            waits = f", rate limit for {held_s} s yet" if held_s else ""
            self._collector.update("requests in flight", 0, message=f"{in_flight}{waits}")
        throttled_s = int(stats["throttled_ms"] / 1000)
        if throttled_s > self._throttled_s:
            self._collector.update("seconds throttled", throttled_s - self._throttled_s)
            self._throttled_s = throttled_s
        if held_s > _LONG_WAIT_S and not self._is_told:
            logger.warning(
                f"headrace: a rate limit is used up: nothing is asked for {held_s} s, until it is filled again"
            )
        self._is_told = held_s > _LONG_WAIT_S
