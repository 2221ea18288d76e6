"""What isn't public in huggingface_hub stands in one file, and was checked in one version."""

import ast
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx2
import pytest

from engine.home import PROJECT
from engine.weights import hub_private
from engine.weights.hub_private import CHECKED, limit_waiting, retry_after

HERE = PROJECT / "engine/weights/hub_private.py"
AGAIN = f"""huggingface_hub isn't the {CHECKED} that engine/weights/hub_private.py was checked
against. Read in the new version's source, then write its number there:
- file_download.http_get: does it append to the file, go on at resume_size, check expected_size,
  and read constants.DOWNLOAD_CHUNK_SIZE at each call? Can hf_hub_download go on by now (its issue
  4196)? Then this isn't needed any more.
- file_download.xet_get: does it take a path and begin afresh there?
- utils._runtime.is_xet_available and constants.HF_XET_HIGH_PERFORMANCE: are they there?
- utils._http.default_client_factory and _GLOBAL_CLIENT_FACTORY: is the timeout still None?
- utils._http._parse_retry_after: seconds, or None?
- the line numbers in the docstring of engine/weights/fetch.py."""


def test_it_is_the_version_that_was_checked() -> None:
    assert version("huggingface_hub") == CHECKED, AGAIN


@pytest.mark.parametrize("name", ["page", "gpu"])
def test_the_version_that_was_checked_is_the_one_that_is_pinned(name: str) -> None:
    pinned = (PROJECT / f"requirements-{name}.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in pinned if line.startswith("huggingface_hub==")] == [
        f"huggingface_hub=={CHECKED}"
    ], AGAIN


def private(file: Path) -> Iterator[str]:
    """What ``file`` takes from inside huggingface_hub: its internal modules, names with an
    underscore, and constants that it sets."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] != "huggingface_hub":
                    continue
                for name in (name.name for name in names):
                    whole = f"{module}.{name}"
                    if "file_download" in whole or "._" in whole:
                        yield whole
            case ast.Import(names=names):
                yield from (n.name for n in names if n.name.startswith("huggingface_hub."))
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="constants"), attr=attr)]):
                yield f"constants.{attr}"


def test_nothing_else_reaches_inside() -> None:
    files = [file for folder in ("engine", "ui") for file in (PROJECT / folder).rglob("*.py")]
    assert set(private(HERE)), "the search finds what is there"
    assert not {str(f): list(private(f)) for f in files if f != HERE and any(private(f))}


def test_each_that_is_private_is_explained() -> None:
    text = HERE.read_text(encoding="utf-8")
    for name in private(HERE):
        if "_xet.XetFileData" not in name:  # for the type checker only
            assert name.rpartition(".")[2] in (hub_private.__doc__ or "") + text.replace(
                f"import {name.rpartition('.')[2]}", ""
            )


def test_the_client_waits_no_longer_than_it_is_told_unless_somebody_set_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    assert _http.default_client_factory().timeout == httpx2.Timeout(None)
    limit_waiting(7.0)
    assert _http._GLOBAL_CLIENT_FACTORY().timeout == httpx2.Timeout(7.0)
    limit_waiting(9.0)
    assert _http._GLOBAL_CLIENT_FACTORY().timeout == httpx2.Timeout(7.0), "it is somebody's"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "120"}, 120.0), ({"retry-after": "soon"}, None), ({}, None)],
)
def test_a_wait_that_the_server_names_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(httpx2.Headers(headers)) == seconds
