"""headrace: a C engine under dlt.

`install()` puts it under every dlt pipeline of the process, dlt's own `rest_api` sources included; `headrace.sources.rest_api`
is dlt's rest_api with the whole way native, without `install()`; `nested()` makes relational tables of nested Arrow.
"""

from headrace._core import __version__
from headrace._install import UnsupportedDltVersion, install, uninstall
from headrace._nested_arrow import nested
from headrace._status import LoadStatus, ResourceStatus, TableStatus, status

__all__ = [
    "LoadStatus",
    "ResourceStatus",
    "TableStatus",
    "UnsupportedDltVersion",
    "__version__",
    "install",
    "nested",
    "status",
    "uninstall",
]
