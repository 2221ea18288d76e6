"""Several processes that run all tests read all of them: each translates a part for the others."""

import importlib
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ui.server.gradio_import import import_gradio


def share_the_reading(tests: Path, own: int, processes: int) -> None:
    """Import the part of ``tests`` that is the ``own``-th of so many ``processes``.

    pytest writes its asserts anew, which takes longer than all else about reading a file, and keeps
    what it wrote, unless Python may keep nothing. Without this all of them would come to the same
    file at the same time, and each would translate it for itself.
    """
    import_gradio(mcp=True)  # it writes files for editors otherwise, two seconds in each process
    if sys.dont_write_bytecode:
        return
    for file in sorted(tests.rglob("test_*.py"))[own::processes]:
        module = ".".join(file.relative_to(tests.parent).with_suffix("").parts)
        with suppress(Exception, pytest.skip.Exception):  # it is told when pytest comes to it
            importlib.import_module(module)
