"""Records for benchmarks: nested, about 1.3 KB each, like a GitHub issue. Deterministic."""

from __future__ import annotations

import json
import random
from typing import Any

_WORDS = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "consectetur",
    "adipiscing",
    "elit",
    "sed",
    "do",
    "eiusmod",
    "tempor",
    "incididunt",
    "ut",
    "labore",
]
_EXTRA = ["naïve café", 'a "quoted" word', "line\nbreak", "emoji 🎉", "tab\there", "日本語", "back\\slash"]


def _text(rng: random.Random, n_words: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(n_words)) + " " + rng.choice(_EXTRA)


def _time(rng: random.Random) -> str:
    return (
        f"20{rng.randrange(10, 26)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:30:15Z"
    )


def _user(rng: random.Random) -> dict[str, Any]:
    login = f"{rng.choice(_WORDS)}{rng.randrange(10000)}"
    return {
        "login": login,
        "id": rng.randrange(10**8),
        "node_id": f"MDQ6VXNlcj{rng.randrange(10**6)}",
        "avatar_url": f"https://avatars.example.com/u/{rng.randrange(10**6)}?v=4",
        "html_url": f"https://example.com/{login}",
        "type": rng.choice(["User", "Bot"]),
        "site_admin": rng.random() < 0.1,
        "score": round(rng.random() * 100, 3),
    }


def record(rng: random.Random, number: int) -> dict[str, Any]:
    """One record: a root row, and on average four child rows in three tables."""
    return {
        "id": number,
        "number": number % 10000,
        "title": _text(rng, 6),
        "state": rng.choice(["open", "closed"]),
        "locked": False,
        "comments": rng.randrange(50),
        "created_at": _time(rng),
        "updated_at": _time(rng),
        "closed_at": _time(rng) if rng.random() < 0.5 else None,
        "author_association": "CONTRIBUTOR",
        "body": _text(rng, 40),
        "weight": rng.random() if rng.random() < 0.8 else None,
        "milestone": None,
        "user": _user(rng),
        "labels": [
            {
                "id": rng.randrange(10**6),
                "name": rng.choice(_WORDS),
                "color": f"{rng.randrange(1 << 24):06x}",
                "default": k == 0,
            }
            for k in range(rng.randrange(4))
        ],
        "assignees": [
            {"login": f"{rng.choice(_WORDS)}{k}", "id": rng.randrange(10**6), "since": _time(rng)}
            for k in range(rng.randrange(3))
        ],
        "topics": [rng.choice(_WORDS) for _ in range(rng.randrange(4))],
        "reactions": {
            "total_count": rng.randrange(9),
            "plus1": rng.randrange(5),
            "url": f"https://example.com/r/{number}",
        },
    }


def pages(n_pages: int, page_size: int, seed: int = 1) -> list[bytes]:
    """JSON bodies of the pages: `{"items": [...], "total": n_pages}`."""
    rng = random.Random(seed)
    out = []
    for page in range(n_pages):
        items = [record(rng, page * page_size + i) for i in range(page_size)]
        out.append(json.dumps({"items": items, "total": n_pages, "page": page}, ensure_ascii=False).encode())
    return out
