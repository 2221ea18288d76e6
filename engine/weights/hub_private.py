"""What is used of huggingface_hub that it doesn't promise to keep, all in one place, and why.

Everything else comes from where the package exports it. What stands here was read and tried in the
version ``CHECKED``; another one may have it elsewhere, or with another meaning, so
tests/engine/weights/test_hub_private.py fails until somebody has looked.
"""

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.utils._xet import XetFileData

CHECKED = "2.4.0"


def fetch_rest(
    url: str, gathered: BinaryIO, headers: dict[str, str], size: int, chunk: int
) -> None:
    """Append to ``gathered`` what it lacks of the file at ``url``; that the whole is of this
    ``size`` is checked at the end.

    ``file_download.http_get``: ``hf_hub_download``, which is public, can't go on with bytes that an
    earlier process left. ``constants.DOWNLOAD_CHUNK_SIZE``: how much of them a kill loses; it is
    read at each call and no argument says it.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import http_get

    constants.DOWNLOAD_CHUNK_SIZE = chunk
    http_get(url, gathered, resume_size=gathered.tell(), headers=headers, expected_size=size)


def wants_xet() -> bool:
    """Whether somebody asked for Xet's client with HF_XET_HIGH_PERFORMANCE, and it is installed.

    ``constants`` decides which spellings of that variable mean yes, and
    ``utils._runtime.is_xet_available`` also minds HF_HUB_DISABLE_XET.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils._runtime import is_xet_available

    return bool(constants.HF_XET_HIGH_PERFORMANCE) and is_xet_available()


def fetch_by_xet(
    data: "XetFileData", place: Path, headers: dict[str, str], size: int, name: str
) -> None:
    """Fetch a whole file to ``place``, afresh.

    ``file_download.xet_get``: what is public writes to the hub's cache or under the file's own name
    only, and neither is a part file of ours.
    """
    from huggingface_hub.file_download import xet_get

    xet_get(
        incomplete_path=place,
        xet_file_data=data,
        headers=headers,
        expected_size=size,
        displayed_filename=name,
    )


def limit_waiting(seconds: float) -> None:
    """Have its HTTP client wait no longer than this for an answer, unless somebody else has set
    another client.

    It waits for ever unless a call says otherwise, and some calls can't.
    ``utils._http.default_client_factory``: ours is to differ from it in the timeout only.
    ``utils._http._GLOBAL_CLIENT_FACTORY``: nothing public says which one is in force.
    """
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    def client() -> "httpx2.Client":
        made = _http.default_client_factory()
        made.timeout = seconds
        return made

    if _http._GLOBAL_CLIENT_FACTORY is _http.default_client_factory:
        set_client_factory(client)


def retry_after(headers: "httpx2.Headers") -> float | None:
    """Seconds that a server asks to wait; None where it doesn't say.

    ``utils._http._parse_retry_after``: ``parse_ratelimit_headers``, which is public, reads other
    headers only, and the client's own tries should wait as long as ours.
    """
    from huggingface_hub.utils._http import _parse_retry_after

    asked = _parse_retry_after(headers)
    return None if asked is None else float(asked)
