"""XML bodies as JSON text: the engine's converter, and what is said of it in a configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headrace._files.xml_text import Options, XmlText
from headrace._rest_api.option_values import known, text, texts
from headrace.exceptions import ConfigurationError

_KEYS = ("record_path", "attribute_prefix", "lists")
_NO_LIMIT = 1 << 60  # bytes: the body has one
_PLAIN_NAME = re.compile(r"^[A-Za-z_]\w*$")


@dataclass(frozen=True)
class XmlRules:
    """How XML is read.

    Attributes:
        record_path: Names of elements from the root to the records.
        attribute_prefix: Before the names of attributes.
        lists: Names of elements that are lists, also where there is only one.
    """

    record_path: tuple[str, ...] = ()
    attribute_prefix: str = "@"
    lists: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Any, where: str) -> XmlRules:
        """What the configuration says."""
        own = known(given, _KEYS, where)
        path = tuple(text(own["record_path"], f"{where}.record_path").split(".")) if "record_path" in own else ()
        prefix = own.get("attribute_prefix", "@")
        if not isinstance(prefix, str):
            raise ConfigurationError(f"`{where}.attribute_prefix` must be a text, not {prefix!r}")
        return cls(path, prefix, texts(own.get("lists", []), f"{where}.lists", "a list of names"))

    @property
    def selector(self) -> str | None:
        """The jsonpath of the records."""
        quoted = [name if _PLAIN_NAME.match(name) else f"'{name}'" for name in self.record_path]
        return ".".join(quoted) or None

    def text(self, body: bytes) -> bytes:
        """The document as JSON text. Raises `Error`."""
        reader = XmlText(Options((), self.lists, self.attribute_prefix, "#text", False, True), _NO_LIMIT)
        text, error = reader.feed(body, True)
        if error is not None:
            raise error
        return text
