"""Random nested documents that evolve from page to page, for comparing with dlt.

What dlt mostly fails on stands in every eighth seed only, one of `WILD` in a document: so that the others are compared.
"""

import random
from typing import Any

KEYS = [
    "id", "name", "Name", "camelCase", "HTTPResponse", "a b", "a.b", "a__b", "a", "b", "x-y", "é", "日本", "1st", "_x_",
    "tags", "items", "value", "list", "deep", "user", "créé_le", "A", "long" * 20, "a___b", "+1", "", "created_at", "ü__ä",
]  # fmt: skip
TIMES = [
    "2024-01-15T10:00:00Z",
    "2024-01-15 10:00:00.5",
    "2024-01-15T10:00:00+02:00",
    "20240115T101112",
    "2024/01/15 1:2",
]


WILD: list[tuple[str | None, Any]] = [  # a key, or None: any
    (None, 2**63),
    (None, 2**64),
    (None, -(2**63) - 1),
    (None, 1e19),
    (None, "\ud800"),
    (None, "2024-01-15T10:00:00+24:00"),
    ("", [1, {"a": 2}]),
    ("", {"a": [1]}),
    ("  ", [{"b": 1}]),
    ("__", 1),
    ("__", [1]),
    ("_dlt_id", "own"),
    ("_dlt_id", 5),
    ("_dlt_load_id", "x"),
    ("_dlt_parent_id", "x"),
    ("_dlt_list_idx", 3),
    ("a", {"_dlt_id": "own"}),
    ("tags", [{"_dlt_id": "own"}, {"_dlt_list_idx": 7}]),
    ("deep", {"\ud83d": 1}),
    ("deep", {"\ud83d": None}),
    ("deep", [{"x\udc00": []}]),
]


def scalar(rng: random.Random) -> Any:
    """A value that is no container."""
    kind = rng.randrange(9)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind <= 2:
        return rng.choice([0, 1, -1, rng.randrange(10**6), 2**33, -(2**40)])
    if kind == 3:
        return rng.choice([0.5, 1.0, -2.25, 1e15, 1e-7, 3.14159, rng.random()])
    if kind == 4:
        return rng.choice(TIMES)
    if kind == 5:
        return rng.choice(["", "1", "1.5", "true", "no", " 12 ", "0x1f", "2024-01-01", "1_000", "nan"])
    return rng.choice(
        ["x", "héllo", 'quo"te', "back\\slash", "new\nline", "emoji 🎉", "tab\t", "y" * rng.randrange(40)]
    )


def value(rng: random.Random, depth: int) -> Any:
    """Any value; containers get rarer with depth."""
    kind = rng.random()
    if depth <= 0 or kind < 0.6:
        return scalar(rng)
    if kind < 0.8:
        return record(rng, depth - 1)
    return [value(rng, depth - 1) for _ in range(rng.randrange(4))]


def record(rng: random.Random, depth: int) -> dict[str, Any]:
    """An object."""
    out: dict[str, Any] = {}
    for key in rng.sample(KEYS, rng.randrange(7)):
        out[key] = value(rng, depth)
        if key == "" and isinstance(out[key], (list, dict)):
            out[key] = 1
    return out


def pages(seed: int, n_pages: int = 3, n_records: int = 6) -> list[list[dict[str, Any]]]:
    """Pages of records; keys keep to a few a seed, so that columns meet again with other types."""
    rng = random.Random(seed)
    out = []
    for _ in range(n_pages):
        out.append([{"id": rng.randrange(1000), **record(rng, rng.randrange(4))} for _ in range(n_records)])
    if seed % 8 == 3:
        key, wild = WILD[seed // 8 % len(WILD)]
        rng.choice(rng.choice(out))[rng.choice(KEYS[1:9]) if key is None else key] = wild
    return out
