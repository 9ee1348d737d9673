"""Endpoints that create a job, follow it and fetch its results."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import headrace
import headrace.sources.rest_api as rest_api
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from headrace.exceptions import ConfigurationError
from oracle import make_pipeline, read_tables
from servers import Answer, Request

FAST = {"every": 0.01, "max": 0.02}


class Jobs:
    """An API of jobs: each is done after two questions and has two results."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.created: list[Any] = []
        self.asked: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        with self.lock:
            parts = request.path.strip("/").split("/")
            if request.method == "POST" and parts == ["exports"]:
                self.created.append(json.loads(request.body) if request.body else None)
                self.asked.append(0)
                number = len(self.created) - 1
                body = self.options.get("created", {"job": {"id": f"j/{number}"}, "status": "QUEUED"})
                return Answer(
                    body, status=202, headers={"Location": f"/exports/{number}", **self.options.get("headers", {})}
                )
            if parts[0] == "exports":
                return self.state(int(parts[1].rpartition("%2F")[2]), request)
            if parts[0] == "results":
                return self.result(int(parts[1]), int(parts[2]), request)
            return Answer({"parents": [{"id": n} for n in range(3)]})

    def state(self, number: int, request: Request) -> Answer:
        self.asked[number] += 1
        if self.asked[number] < 3:
            return Answer({"status": "Running"}, status=202)
        own = self.options.get("state", {"status": "Done"})
        files = [f"{self.options.get('files', '')}/results/{number}/{at}" for at in range(2)]
        return Answer({**own, "files": files, "rows": [{"id": number}, {"id": number + 1}]})

    def result(self, number: int, at: int, request: Request) -> Answer:
        page = int(request.query.get("page", 0))
        rows = "".join(json.dumps({"id": number * 100 + at * 10 + page * 2 + n, "tags": [n]}) + "\n" for n in range(2))
        link = {"Link": f'</results/{number}/{at}?page=1>; rel="next"'} if page == 0 else {}
        body = gzip.compress(rows.encode()) if self.options.get("gzip", True) else rows.encode()
        return Answer(body, headers={"Content-Type": "application/gzip", **link})


JOB = {
    "status": {"path": "exports/{job.id}"},
    "done": "done",
    "failed": ["error", "cancelled"],
    "error": "message",
    "poll": FAST,
    "download": {"url": "files[*]"},
}


def config(url: str, job: dict[str, Any], **endpoint: Any) -> Any:
    """One resource."""
    made = {"path": "exports", "json": {"what": "items"}, "response": "jsonl", "job": job, **endpoint}
    made = {key: value for key, value in made.items() if value is not None}
    return {"client": {"base_url": url}, "resources": [{"name": "items", "endpoint": made}]}


def run(folder: Path, made: Any) -> Any:
    """Runs a configuration: tables and the resource's status."""
    pipeline = make_pipeline(folder, "jobs")
    info = pipeline.run(rest_api.rest_api_source(made, name="api"), loader_file_format="parquet")
    return read_tables(pipeline), headrace.status()[info.loads_ids[0]]["resources"]["items"]


def test_created_polled_and_all_pages_of_all_results_fetched(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(jobs := Jobs())
    tables, status = run(tmp_path, config(server.url, JOB))
    assert [row["id"] for row in tables["items"]] == [0, 1, 2, 3, 10, 11, 12, 13]
    assert len(tables["items__tags"]) == 8
    assert (status["native"], status["in_python"], status["in_normalize"]) == (True, [], None)
    assert status["counts"]["requests"] == 1 + 3 + 4 and status["counts"]["pages"] == 4
    assert jobs.created == [{"what": "items"}] and jobs.asked == [3]
    assert [r.path for r in server.requests[:4]] == ["/exports"] + ["/exports/j%2F0"] * 3


@pytest.mark.parametrize(
    ("change", "endpoint"),
    [
        ({"status": None}, {}),  # by its Location
        ({"status": {"path": "exports/{job.id}", "state": "status"}}, {}),
        ({"create": {"path": "exports", "method": "POST", "json": {"what": "items"}}}, {"path": None, "json": None}),
        ({"download": {"path": "results/0/0"}, "done": ["done", "ok"]}, {}),
        ({"done": None, "failed": None, "error": None, "status": {"state": "none"}}, {}),  # by the HTTP status
    ],
)
def test_forms(api: Any, tmp_path: Path, change: dict[str, Any], endpoint: dict[str, Any], native_only: Any) -> None:
    job = {key: value for key, value in {**JOB, **change}.items() if value is not None}
    tables, _ = run(tmp_path, config(api(Jobs()).url, job, **endpoint))
    expected = [0, 1, 2, 3, 10, 11, 12, 13]
    assert [row["id"] for row in tables["items"]] == (expected[:4] if "path" in job["download"] else expected)


def test_the_answer_that_is_done_has_the_records(api: Any, tmp_path: Path, native_only: Any) -> None:
    job = {key: value for key, value in JOB.items() if key != "download"}
    made = config(api(Jobs()).url, job, response=None, data_selector="rows", paginator="single_page")
    tables, _ = run(tmp_path, made)
    assert [row["id"] for row in tables["items"]] == [0, 1]


def test_a_job_for_each_parent_in_their_order(api: Any, tmp_path: Path, native_only: Any) -> None:
    server = api(jobs := Jobs())
    made = config(server.url, JOB, json={"of": "{resources.parents.id}"})
    parents = {"path": "parents", "data_selector": "parents", "paginator": "single_page"}
    made["resources"].insert(0, {"name": "parents", "endpoint": parents})
    made["resources"][1]["include_from_parent"] = ["id"]
    tables, _ = run(tmp_path, made)
    assert sorted(one["of"] for one in jobs.created) == [0, 1, 2]
    number_of = {one["of"]: number for number, one in enumerate(jobs.created)}
    found = [(row["_parents_id"], row["id"]) for row in tables["items"]]
    assert found == [(of, number_of[of] * 100 + n) for of in range(3) for n in (0, 1, 2, 3, 10, 11, 12, 13)]


def test_a_token_does_not_go_to_another_origin(api: Any, tmp_path: Path) -> None:
    store = api(Jobs())
    server = api(Jobs(files=store.url))
    made = config(server.url, JOB)
    made["client"]["auth"] = {"type": "bearer", "token": "s3cret"}
    tables, _ = run(tmp_path, made)
    assert len(tables["items"]) == 8
    assert all(r.headers["Authorization"] == "Bearer s3cret" for r in server.requests) and len(server.requests) == 4
    assert len(store.requests) == 4 and not any("Authorization" in r.headers for r in store.requests)


def test_a_failed_job_fails_with_its_text(api: Any, tmp_path: Path) -> None:
    server = api(Jobs(state={"status": "ERROR", "message": "quota used up"}))
    with pytest.raises(PipelineStepFailed) as caught:
        run(tmp_path, config(server.url, JOB))
    text = str(caught.value)
    assert (
        "fetch: resource `items`, http://127.0.0.1" in text and "/exports/j%2F0: the job ended in state `ERROR`" in text
    )
    assert ": quota used up" in text


SIGNED = "https://store.example/x?X-Amz-Credential=AK1&X-Amz-Signature=5ecret"


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"state": {"status": "Error", "see": SIGNED, "access_token": "5ecret"}}, {"error": None}),
        ({"state": {"status": "Error", "message": f"not written: {SIGNED}"}}, {}),
        ({"state": {"status": "Done", "at": SIGNED}}, {"download": {"url": "urls"}}),
        ({"state": {"status": "Done", "at": [SIGNED, 1]}}, {"download": {"url": "at"}}),
        ({"created": {"status": "x", "at": SIGNED}}, {}),
    ],
    ids=["failed", "failed_with_text", "no_urls", "wrong_urls", "no_id"],
)
def test_a_jobs_answer_is_shown_without_signatures(
    api: Any, tmp_path: Path, options: dict[str, Any], change: dict[str, Any]
) -> None:
    job = {key: value for key, value in {**JOB, **change}.items() if value is not None}
    with pytest.raises(PipelineStepFailed) as caught:
        run(tmp_path, config(api(Jobs(**options)).url, job))
    text = str(caught.value)
    assert "5ecret" not in text and "AK1" not in text
    assert "X-Amz-Credential=***&X-Amz-Signature=***" in text


def test_a_job_that_takes_too_long(api: Any, tmp_path: Path) -> None:
    server = api(Jobs(state={"status": "waiting"}))
    job = {**JOB, "poll": {"every": 0.01, "max": 0.02, "timeout": 0.2}}
    with pytest.raises(PipelineStepFailed, match=r"the job is in state `\w+` after \d+ s and") as caught:
        run(tmp_path, config(server.url, job))
    assert "Raise job.poll.timeout (0.2 s)" in str(caught.value)


@pytest.mark.parametrize("value", ["0", "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_retry_after_counts_for_more_than_the_own_wait(api: Any, tmp_path: Path, value: str) -> None:
    """The own wait would be longer than the time that the job has."""
    server = api(Jobs(headers={"Retry-After": value}))
    job = {**JOB, "poll": {"every": 50, "timeout": 40}}
    with pytest.raises(PipelineStepFailed, match="would be asked again in 50 s"):
        run(tmp_path, config(server.url, job))
    assert len(server.requests) == 2  # the second by Retry-After


def test_a_job_without_results(api: Any, tmp_path: Path) -> None:
    jobs = Jobs()

    def handler(request: Request) -> Answer:
        answer = jobs(request)
        if request.path.startswith("/exports/") and "files" in answer.body:
            answer.body["files"] = []
        return answer

    for name, path in (("list", "files[*]"), ("members", "files[*].url")):
        made = config(api(handler).url, {**JOB, "download": {"url": path}})
        tables, status = run(tmp_path / name, made)
        assert "items" not in tables and status["counts"]["pages"] == 0


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no result": (
        {"state": {"status": "Done"}},
        {"download": {"url": "urls"}},
        "expected URLs at `job.download.url` (urls)",
    ),
    "no id": ({"created": {"status": "x"}}, {}, "expected a value at `job.id` for `job.status.path`, found none in"),
    "no URL": ({}, {"status": {"url": "job"}}, "expected URLs at `job.status.url` (job), found"),
}


@pytest.mark.parametrize("name", BAD)
def test_answers_without_what_is_needed(api: Any, tmp_path: Path, name: str) -> None:
    options, change, expected = BAD[name]
    jobs = Jobs(**options)
    with pytest.raises(PipelineStepFailed) as caught:
        run(tmp_path, config(api(jobs).url, {**JOB, **change}))
    assert expected in str(caught.value)


@pytest.mark.parametrize(("path", "status"), [("/exports", 403), ("/exports/0", 410), ("/results/0/1", 404)])
def test_errors_of_the_server(api: Any, tmp_path: Path, path: str, status: int) -> None:
    jobs = Jobs()
    server = api(lambda r: Answer({"no": 1}, status=status) if r.path == path else jobs(r))
    with pytest.raises(PipelineStepFailed, match=str(status)) as caught:
        run(tmp_path, config(server.url, {**JOB, "status": {}}))
    if sys.version_info >= (3, 11):
        told = "".join(traceback.format_exception(caught.value))
        is_page = path.startswith("/results")
        assert f"fetch: resource `items`, {server.url}{path}{', page 0' if is_page else ''}\n" in told


def test_a_state_that_is_no_json(api: Any, tmp_path: Path) -> None:
    jobs = Jobs()
    server = api(lambda r: Answer(b"<html>") if r.path.startswith("/exports/") else jobs(r))
    with pytest.raises(PipelineStepFailed, match="expected the state of a job as JSON, found b'<html>'"):
        run(tmp_path, config(server.url, JOB))


@pytest.mark.parametrize(
    ("job", "endpoint", "expected"),
    [
        ({"done": None}, {}, "job` needs `done`: the states of a job that has ended well"),
        ({"download": {}}, {}, "job.download` needs `url` or `path`"),
        ({"download": {"url": "a", "path": "b"}}, {}, "job.download` may have `path` or `url`, not both"),
        ({"status": {"path": "x/{[}"}}, {}, "job.status.path` must be a jsonpath, not '['"),
        ({"done": {"a": 1}}, {}, "job.done` must be a state or a list of states"),
        ({"poll": {"every": 0}}, {}, "job.poll.every` must be a number of at least 0.01, not 0"),
        ({"poll": {"every": 2e9}}, {}, "job.poll.every` must be a number of at most 1e+09, not 2000000000.0"),
        ({"pool": {}}, {}, "job.pool` is not known. Known are: create, status"),
        ({"create": {"path": "x"}}, {}, "`path` stands in the endpoint and in"),
        ({}, {"graphql": {"query": "{ a }"}}, "may have one of graphql, job, stream, not graphql and job"),
    ],
)
def test_wrong_configurations(job: dict[str, Any], endpoint: dict[str, Any], expected: str) -> None:
    made = {key: value for key, value in {**JOB, **job}.items() if value is not None}
    with pytest.raises(ConfigurationError) as caught:
        rest_api.rest_api_source(config("http://x", made, **endpoint))
    assert expected in str(caught.value)
