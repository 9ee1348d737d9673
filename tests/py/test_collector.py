"""The garbage collector during imports."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
from headrace._collector import collector_paused


@pytest.mark.parametrize("was_enabled", [True, False])
def test_collector_is_as_it_was(was_enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        with pytest.raises(ZeroDivisionError), collector_paused():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()


_IMPORTS = """
import gc, importlib, sys
import dlt

class Finder:
    def find_spec(name, path, target=None):
        if name == "pyarrow":
            print("paused" if not gc.isenabled() else "not paused")

sys.meta_path.insert(0, Finder)
{}
print("enabled" if gc.isenabled() else "disabled")
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import headrace.sources.rest_api",
        "import headrace.sources.filesystem",
        "import headrace, dlt.sources.rest_api as r; headrace.install();"
        " r.rest_api_source({'client': {'base_url': 'http://x'}, 'resources': ['a']})",
    ],
)
def test_sources_are_imported_without_it(imports: str) -> None:
    """What they import, pyarrow first, is 80,000 objects that stay."""
    done = subprocess.run([sys.executable, "-c", _IMPORTS.format(imports)], capture_output=True, text=True)
    assert done.stdout.split("\n") == ["paused", "enabled", ""], done.stderr
