"""Requests that only Python can make: a session of the user's, one with adapters or hooks, an authentication that answers
to responses. dlt's own code would send them the same way; their bodies go to the engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from dlt.sources.helpers.requests.session import Session
from dlt.sources.helpers.rest_client.client import RESTClient
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_TOGETHER = 5  # requests of a parallelized resource, as dlt's own pool has workers


def why_python(client: RESTClient) -> str | None:
    """Why the client's requests are made in Python; None: the engine makes them."""
    session = client.session
    if type(session) is not Session:
        return "requests are made by a session of its own"
    answers = getattr(client.auth, "answers_to_responses", False)
    if answers or (client.auth is not None and "register_hook" in _names(type(client.auth).__call__)):
        return f"requests are made by the session: `{type(client.auth).__name__}` answers to responses"
    url = client.base_url if client.base_url.startswith(("http://", "https://")) else "https://"
    if type(session.get_adapter(url)) is not HTTPAdapter:
        return "requests are made by the session: it has an adapter of its own"
    if session.hooks.get("response"):
        return "requests are made by the session: it has hooks"
    if any(getattr(part, "__module__", "").partition(".")[0] != home for part, home in _replaceable()):
        return "requests are made by the session: something stands in for requests (requests_mock, responses, vcrpy)"
    return None


def _replaceable() -> tuple[tuple[Any, str], ...]:
    """What libraries for tests replace in requests, and where it is from otherwise."""
    return (
        (requests.Session.send, "requests"),
        (requests.Session.request, "requests"),
        (HTTPAdapter.send, "requests"),
        (HTTPConnectionPool.ConnectionCls, "urllib3"),
        (HTTPSConnectionPool.ConnectionCls, "urllib3"),
    )


def _names(function: Any) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    return code.co_names if code is not None else ()


class Sessions:
    """Threads for the sessions of one run: a session is asked once at a time, more often for parallelized resources."""

    def __init__(self) -> None:
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._timers: set[threading.Timer] = set()  # of requests that are to be made later
        self._is_closed = False
        self._lock = threading.Lock()

    def ask(
        self,
        client: RESTClient,
        request: requests.Request,
        is_parallel: bool,
        done: Callable[[requests.Response | BaseException], None],
        delay_s: float = 0,
    ) -> None:
        """Sends the request on a thread, not before `delay_s`; `done` gets the answer there, its body read, or what was raised."""
        with self._lock:
            self._timers.discard(threading.current_thread())  # when a timer calls
            if self._is_closed:
                return
            if delay_s > 0:
                timer = threading.Timer(delay_s, self.ask, (client, request, is_parallel, done))
                timer.name, timer.daemon = "headrace-session-delay", True
                self._timers.add(timer)
                timer.start()
                return
            key = id(client.session)
            pool = self._pools.get(key)
            if pool is None:
                pool = ThreadPoolExecutor(_TOGETHER if is_parallel else 1, thread_name_prefix="headrace-session")
                self._pools[key] = pool
        pool.submit(_send, client, request, done)

    def close(self) -> None:
        """Drops what was not sent yet."""
        with self._lock:
            self._is_closed = True
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            for pool in self._pools.values():
                pool.shutdown(wait=False, cancel_futures=True)
            self._pools.clear()


def width(is_parallel: bool) -> int:
    """How many requests of one resource are made at once."""
    return _TOGETHER if is_parallel else 1


def _send(client: RESTClient, request: requests.Request, done: Callable[[Any], None]) -> None:
    try:
        response = client._send_request(request)
        _ = response.content
    except BaseException as error:
        done(error)
    else:
        done(response)
