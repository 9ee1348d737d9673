"""Files as they come in a folder: JSON lines, some compressed, one with a bad line, and a JSON export. Each is loaded once.

    python examples/files/events.py [FOLDER]

Loads into events.duckdb in the current folder; a second run loads what is new: nothing, unless you put another file there.
"""

import gzip
import json
import sys
from pathlib import Path

import dlt
import headrace
from headrace.sources.filesystem import filesystem, read_json, read_jsonl


def write_samples(folder: Path) -> None:
    """Some files of one day, if the folder is empty."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for hour in range(3):
        events = [
            {"id": hour * 100 + i, "kind": "click", "tags": [{"name": "a"}, {"name": "b"}][: i % 3]} for i in range(100)
        ]
        lines = "".join(json.dumps(event) + "\n" for event in events).encode()
        if hour == 1:
            lines += b'{"id": 999, "kind": \n'  # cut
        name = folder / f"2024-05-01T{hour:02}.jsonl{'.gz' if hour == 2 else ''}"
        name.write_bytes(gzip.compress(lines) if hour == 2 else lines)
    users = {
        "exported": "2024-05-01",
        "data": {"users": [{"id": i, "roles": ["admin", "editor"][: i % 2 + 1]} for i in range(10)]},
    }
    (folder / "users.json").write_text(json.dumps(users))


def main() -> None:
    """Loads the folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "events")
    write_samples(folder)
    events = filesystem(str(folder), file_glob="*.jsonl*", only_new="version").with_name("event_files")
    # an export that is written again each night, mostly the same: only its content says whether it is new
    users = filesystem(str(folder), file_glob="users.json", only_new="hash").with_name("user_files")
    pipeline = dlt.pipeline("events", destination=dlt.destinations.duckdb("events.duckdb"), dataset_name="data")
    info = pipeline.run(
        [
            events | read_jsonl(on_error="skip_row").with_name("events"),
            (users | read_json(record_path="data.users").with_name("users")).apply_hints(
                write_disposition="merge", primary_key="id"
            ),
        ],
        loader_file_format="parquet",
    )
    info.raise_on_failed_jobs()
    print(sorted(pipeline.dataset().row_counts().fetchall()))
    served = headrace.status().get(info.loads_ids[-1])  # None: no file was new
    for name, resource in served["resources"].items() if served else ():
        print(f"{name}: {resource['counts']}")
        for one in resource["skipped"]:
            print(f"  left out: {one['url'].rsplit('/', 1)[-1]}, {one['parent']['place']}: {one['error']}")


if __name__ == "__main__":
    main()
