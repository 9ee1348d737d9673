"""headrace: a C engine under dlt.

`install()` puts it under every dlt pipeline of the process, dlt's own `rest_api` sources included; `headrace.sources.rest_api`
is dlt's rest_api with the whole way native, without `install()`; `nested()` makes relational tables of nested Arrow;
`follow()` runs a pipeline over streams that do not end; `skipped()` says what `on_error` left out.
"""

from headrace._core import __version__
from headrace._install import UnsupportedDltVersion, install, uninstall
from headrace._nested.arrow import nested
from headrace._rest_api.follow import follow
from headrace._rest_api.isolation import Skipped, skipped
from headrace._status import LoadStatus, ResourceStatus, TableStatus, status

__all__ = [
    "LoadStatus",
    "ResourceStatus",
    "Skipped",
    "TableStatus",
    "UnsupportedDltVersion",
    "__version__",
    "follow",
    "install",
    "nested",
    "skipped",
    "status",
    "uninstall",
]
