"""What headrace's own keys in a rest_api configuration say; they are taken out before dlt looks at it.

    client:   rate_limit, max_requests_per_second, max_in_flight, retry, network
    endpoint: retry, rate_cost, response, graphql, job, stream
    both:     on_incomplete, on_error, total_count_path, error_path; types of `auth` that are not dlt's

docs/rate-limits.md, docs/retries.md, docs/networks.md, docs/truncation.md, docs/authentication.md and
docs/more-than-get.md describe them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from dlt.common import jsonpath
from dlt.extract.resource import DltResource
from dlt.sources.helpers.rest_client.client import RESTClient

from headrace._rest_api.formats import ResponseFormat, response_format
from headrace._rest_api.graphql import GraphQL, expand
from headrace._rest_api.job_rules import JobRules, expand_job
from headrace._rest_api.option_values import known, millis, number, one_of, path
from headrace._rest_api.stream_rules import StreamRules, expand_stream
from headrace.auth import create, is_ours
from headrace.config import HeadraceConfiguration
from headrace.exceptions import ConfigurationError

_MARK = "__headrace_options__"  # on a client: what the source's configuration says
_MARK_IN_FORCE = "__headrace_options_in_force__"  # with what config.toml says beside it, in the last run
_ANY = object()
_CHOICES = {"on_incomplete": ("warn", "raise"), "on_error": ("raise", "skip_parent", "skip_resource")}
_PATHS = ("total_count_path", "error_path")
_BOTH = (*_CHOICES, *_PATHS)
CLIENT_KEYS = ("rate_limit", "max_requests_per_second", "max_in_flight", "retry", "network", *_BOTH)
ENDPOINT_KEYS = ("retry", "rate_cost", "response", *_BOTH)
_SPECIAL = ("graphql", "job", "stream")  # an endpoint's own, not for all of them
_ENDPOINT = (*ENDPOINT_KEYS, *_SPECIAL)
_RULE = ("requests", "per")
RETRY_KEYS = ("max_attempts", "backoff", "max_delay", "max_total", "statuses", "methods", "on_content", "breaker")
NETWORK_KEYS = ("proxy", "ca_bundle", "client_cert", "min_tls", "resolve", "interface", "allowed_hosts")
_TLS = {"1.0": 10, "1.1": 11, "1.2": 12, "1.3": 13}
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_PROXIES = ("http://", "https://", "socks5://", "socks5h://", "socks4://", "socks4a://")
_OF_CERT = ("cert_path", "key_path", "key_password")
_RESOLVED = re.compile(r"^\+?[^\s:]+:\d+:\S+$")
UNSAFE = {"POST", "PATCH"}  # may have an effect each time


@dataclass(frozen=True)
class Condition:
    """An answer whose body has this value at this path is asked for again; `value` _ANY: any value."""

    path: Any
    text: str
    value: Any

    def meets(self, body: Any) -> bool:
        """Whether the body says so."""
        found = [match.value for match in self.path.find(body)]
        return bool(found) if self.value is _ANY else self.value in found


@dataclass(frozen=True)
class Options:
    """Arguments of `Route` that the configuration gives, and what is decided in Python.

    Attributes:
        route: Arguments of `_core.Route`.
        rules: Rate limits, (requests, milliseconds).
        on_content: When an answer is asked for again because of what it holds.
        allowed_hosts: Hosts that may be asked; empty: any.
        on_incomplete: "warn" or "raise": what happens when pages seem to be missing; None: not said.
        on_error: "raise", "skip_parent" (of a dependent resource) or "skip_resource": what is left out when a page fails;
            None: not said.
        total_count_path: jsonpath of the number of records that the API says there are.
        error_path: jsonpath that has a value only in an answer that is an error in spite of its status 200.
        graphql: What answers to a GraphQL request must be; None: it is none.
        response: How bodies are read; None: as JSON documents.
        job: How the job is followed that the request creates; None: it creates none.
        stream: How an answer is followed that does not end; None: it ends.
    """

    route: dict[str, Any] = field(default_factory=dict, repr=False)  # has passwords
    rules: tuple[tuple[int, int], ...] = ()
    on_content: tuple[Condition, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    on_incomplete: str | None = None
    on_error: str | None = None
    total_count_path: str | None = None
    error_path: str | None = None
    graphql: GraphQL | None = None
    response: ResponseFormat | None = None
    job: JobRules | None = None
    stream: StreamRules | None = None


_NONE = Options()


def options_of(client: RESTClient) -> Options:
    """What was said for the client; nothing if it is not ours."""
    found: Options = getattr(client, _MARK_IN_FORCE, getattr(client, _MARK, _NONE))
    return found


def set_sections(
    client: RESTClient, own: Mapping[str, Any], of_resource: Mapping[str, Any], where: str, name: str
) -> None:
    """Puts what config.toml says of a source and of its resource `name` under what the client has from the source's code.

    Args:
        client: The resource's client.
        own: Keys of the section `where`, those of a client.
        of_resource: Keys of its section `name`, those of an endpoint.
        where: For errors: `headrace.api.<source>`.
        name: The resource.
    """
    made = _endpoint(_client(_NONE, own, where), of_resource, f"{where}.{name}")
    said: Options = getattr(client, _MARK, _NONE)
    merged = {one.name: getattr(said, one.name) or getattr(made, one.name) for one in fields(Options)}
    setattr(client, _MARK_IN_FORCE, Options(**(merged | {"route": made.route | said.route})))


def in_force(options: Options, settings: HeadraceConfiguration) -> Options:
    """The options with what `[headrace]` says where the configuration of the source says nothing."""
    said = {key: getattr(options, key) or getattr(settings, key) for key in _CHOICES}
    return _common(replace(options, **said), said, "headrace")


def set_options(resources: Sequence[DltResource], options: Mapping[str, Options]) -> None:
    """Leaves each resource's options with its client."""
    for resource in resources:
        arguments = resource.explicit_args if resource.args_bound else None
        client = arguments.get("client") if arguments else None  # else it is no resource of rest_api's
        if client is not None and resource.name in options:
            setattr(client, _MARK, options[resource.name])


def take(config: Mapping[str, Any]) -> tuple[Any, dict[str, Options]]:
    """The configuration as dlt knows it, and the options of each resource by its name."""
    client, of_client = _split(config.get("client") or {}, CLIENT_KEYS)
    defaults, of_defaults = _split_resource(config.get("resource_defaults") or {})
    for key in _SPECIAL:
        if key in of_defaults:
            raise ConfigurationError(f"`resource_defaults.endpoint.{key}` belongs into the endpoint of a resource")
    base = _endpoint(_client(_NONE, of_client), of_defaults, "resource_defaults.endpoint")
    resources: list[Any] = []
    options: dict[str, Options] = {}
    for given in config.get("resources") or []:
        if isinstance(given, str):
            options[given] = base
            resources.append(given)
        elif isinstance(given, Mapping):
            resource, own = _split_resource(given)
            where = f"resources.{given.get('name')}.endpoint"
            options[str(given.get("name"))] = _special(resource, _endpoint(base, own, where), own, where)
            resources.append(resource)
        else:
            resources.append(given)
    taken = dict(config) | {"client": client, "resources": resources}
    if config.get("resource_defaults"):
        taken["resource_defaults"] = defaults
    return taken, options


def _split(given: Any, keys: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    if not isinstance(given, Mapping):
        return given, {}
    own = {key: given[key] for key in keys if given.get(key) is not None}
    rest = {key: value for key, value in given.items() if key not in keys}
    if is_ours(rest.get("auth")):
        rest["auth"] = create(rest["auth"])
    return rest, own


def _split_resource(given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    endpoint, own = _split(given.get("endpoint"), _ENDPOINT)
    return (dict(given) | {"endpoint": endpoint} if "endpoint" in given else given), own


# ---- each key


def _client(base: Options, own: Mapping[str, Any], where: str = "client") -> Options:
    route = dict(base.route)
    rules: list[tuple[int, int]] = []
    limits = own.get("rate_limit", [])
    for limit in limits if isinstance(limits, list) else [limits]:
        rule = known(limit, _RULE, f"{where}.rate_limit")
        if set(rule) != set(_RULE):
            raise ConfigurationError(f"`{where}.rate_limit` needs `requests` and `per` (seconds)")
        requests = int(number(rule["requests"], f"{where}.rate_limit.requests", 1))
        rules.append((requests, max(1, millis(rule["per"], f"{where}.rate_limit.per"))))
    if len(rules) > 4:
        raise ConfigurationError(f"`{where}.rate_limit` may have 4 limits at most")
    if "max_requests_per_second" in own:
        route["max_per_second"] = float(number(own["max_requests_per_second"], f"{where}.max_requests_per_second"))
    if "max_in_flight" in own:
        route["max_in_flight"] = int(number(own["max_in_flight"], f"{where}.max_in_flight", 1))
    made = replace(base, route=route, rules=tuple(rules))
    made = _common(made, own, where)
    made = _network(made, known(own.get("network", {}), NETWORK_KEYS, f"{where}.network"), f"{where}.network")
    return _retry(made, own.get("retry", {}), f"{where}.retry")


def _endpoint(base: Options, own: Mapping[str, Any], where: str) -> Options:
    made = _common(_retry(base, own.get("retry", {}), f"{where}.retry"), own, where)
    if "rate_cost" in own:
        made = replace(made, route=made.route | {"cost": int(number(own["rate_cost"], f"{where}.rate_cost", 1))})
    if "response" in own:
        made = replace(made, response=response_format(base.response, own["response"], f"{where}.response"))
    return made


def _special(resource: dict[str, Any], base: Options, own: Mapping[str, Any], where: str) -> Options:
    """What an endpoint is for: changes the resource to what dlt knows."""
    if len(several := [key for key in _SPECIAL if key in own]) > 1:
        raise ConfigurationError(f"`{where}` may have one of {', '.join(_SPECIAL)}, not {' and '.join(several)}")
    endpoint = resource.get("endpoint")
    made = dict(endpoint) if isinstance(endpoint, Mapping) else {"path": endpoint} if isinstance(endpoint, str) else {}
    if "stream" in own:
        resource["endpoint"], stream = expand_stream(made, own["stream"], f"{where}.stream")
        return replace(base, stream=stream, response=ResponseFormat("jsonl", "none"))
    if "job" in own:
        resource["endpoint"], job = expand_job(made, own["job"], f"{where}.job")
        return replace(base, job=job)
    if "graphql" not in own:
        return base
    resource["endpoint"], rules, is_query = expand(made, own["graphql"], f"{where}.graphql")
    route = base.route
    if is_query and "methods" not in own.get("retry", {}):
        route = route | {"retry_unsafe": True}
    return replace(base, graphql=rules, route=route)


def _common(base: Options, own: Mapping[str, Any], where: str) -> Options:
    for key, choices in _CHOICES.items():
        if key in own:
            one_of(own[key], choices, f"{where}.{key}")
    for key in _PATHS:
        if key in own:
            path(own[key], f"{where}.{key}")
    return replace(base, **{key: own[key] for key in _BOTH if key in own})


def _statuses(given: Any, where: str) -> list[tuple[int, int]]:
    out = []
    for one in given if isinstance(given, list) else [given]:
        first, _, last = str(one).partition("-")
        if not first.isdigit() or not (last or first).isdigit() or len(first) != 3 or len(last or first) != 3:
            raise ConfigurationError(
                f"`{where}` must hold statuses (429) or stretches of them ('500-599'), not {one!r}"
            )
        out.append((int(first), int(last or first)))
    if len(out) > 16:
        raise ConfigurationError(f"`{where}` may have 16 entries at most")
    return out


def _retry(base: Options, given: Any, where: str) -> Options:
    own = known(given, RETRY_KEYS, where)
    route = dict(base.route)
    if "max_attempts" in own:
        route["max_attempts"] = int(number(own["max_attempts"], f"{where}.max_attempts", 1))
    for key, name in (("backoff", "backoff_ms"), ("max_delay", "max_delay_ms"), ("max_total", "max_total_ms")):
        if key in own:
            route[name] = millis(own[key], f"{where}.{key}")
    if "statuses" in own:
        route["retry_statuses"] = _statuses(own["statuses"], f"{where}.statuses")
    if "methods" in own:
        methods = own["methods"] if isinstance(own["methods"], list) else [own["methods"]]
        route["retry_unsafe"] = bool(UNSAFE & {str(method).upper() for method in methods})
    if "breaker" in own:
        breaker = own["breaker"]
        if breaker is False:
            route["breaker"] = 0
        else:
            breaker = known(breaker, ("requests", "seconds"), f"{where}.breaker")
            route["breaker"] = int(number(breaker.get("requests", 5), f"{where}.breaker.requests", 1))
            route["breaker_ms"] = millis(breaker.get("seconds", 60), f"{where}.breaker.seconds")
    conditions = base.on_content
    if "on_content" in own:
        listed = own["on_content"] if isinstance(own["on_content"], list) else [own["on_content"]]
        conditions = tuple(_condition(one, f"{where}.on_content") for one in listed)
    return replace(base, route=route, on_content=conditions)


def _condition(given: Any, where: str) -> Condition:
    own = known(given, ("path", "value"), where)
    if "path" not in own:
        raise ConfigurationError(f"`{where}` needs a `path` (a jsonpath)")
    text = path(own["path"], f"{where}.path")
    return Condition(jsonpath.compile_path(text), text, own.get("value", _ANY))


def _lines(given: Any, where: str) -> list[str]:
    listed = given if isinstance(given, list) else [given]
    if not all(isinstance(one, str) and one and "\n" not in one for one in listed):
        raise ConfigurationError(f"`{where}` must be a text or a list of texts")
    return listed


def _network(base: Options, own: Mapping[str, Any], where: str) -> Options:
    route = dict(base.route)
    for key, name in (("proxy", "proxy"), ("interface", "interface"), ("ca_bundle", "ca_path")):
        if key in own:
            route[name] = str(own[key])
    if _SCHEME.match(route.get("proxy", "")) and not route["proxy"].lower().startswith(_PROXIES):
        raise ConfigurationError(f"`{where}.proxy` must begin with one of {', '.join(_PROXIES)}")
    if "client_cert" in own:
        parts = _lines(own["client_cert"], f"{where}.client_cert")
        if len(parts) > len(_OF_CERT):
            raise ConfigurationError(
                f"`{where}.client_cert` must be the file of a certificate, that of its key if it is another, and that one's password"
            )
        route.update(dict.fromkeys(_OF_CERT, "") | dict(zip(_OF_CERT, parts, strict=False)))
    if "min_tls" in own:
        route["min_tls"] = _TLS[one_of(str(own["min_tls"]), tuple(_TLS), f"{where}.min_tls")]
    if "resolve" in own:
        lines = _lines(own["resolve"], f"{where}.resolve")
        if wrong := [line for line in lines if not _RESOLVED.match(line)]:
            raise ConfigurationError(f"`{where}.resolve` must hold 'host:port:address', not {wrong[0]!r}")
        route["resolve"] = "\n".join(lines)
    if "allowed_hosts" not in own:
        return replace(base, route=route)
    hosts = _lines(own["allowed_hosts"], f"{where}.allowed_hosts")
    route["allowed_hosts"] = "\n".join(hosts)
    return replace(base, route=route, allowed_hosts=tuple(hosts))
