"""What the hub says of a model's files, and its refusals as sentences with remedies.

Mirrors, tokens, proxies and offline mode are huggingface_hub's own business (HF_ENDPOINT, HF_TOKEN,
HF_HUB_OFFLINE, HTTPS_PROXY); nothing here reads them.
"""

import errno
import re
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeVar

from engine.errors import ExitCode, HeadroomError
from engine.presets import Role, Source, WeightFile
from engine.weights.checkpoint import SPOKEN, is_own_name, is_whole
from engine.weights.hub_private import limit_waiting, retry_after
from engine.weights.manifest import Promise

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

TIMEOUT_SECONDS = 30.0
ASKED = 4  # times, when a server is out of order or asks to wait
LONGEST_WAIT = 60.0

KEPT = "What was fetched until now is kept; a later try goes on from there."
# Windows has numbers of its own for a full disk (112) and for a full quota (1295).
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class WeightsError(HeadroomError):
    """Weights can't be had, or can't be used."""

    exit_code = ExitCode.SETUP_MISSING


class FetchError(WeightsError):
    """The hub, the way to it or the disk refused.

    ``again``: the same may work a little later, after ``wait`` seconds if the server said so.
    ``elsewhere``: another repository may have the file.
    """

    def __init__(
        self,
        sentence: str,
        remedy: str,
        again: bool = False,
        elsewhere: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(sentence, remedy)
        self.again, self.elsewhere, self.wait = again, elsewhere, wait


# ---- asking --------------------------------------------------------------------------------


def ask(file: WeightFile, layers: int, without: Collection[str] = ()) -> tuple[Promise, ...]:
    """What the first source that has all of ``file`` promises of it.

    Args:
        layers: how many blocks the transformer has.
        without: repositories that are known not to deliver.

    Raises:
        FetchError: no source has it, or the hub can't be asked.
    """
    refusals: list[FetchError] = []
    for source in file.sources:
        if source.repo in without:
            continue
        try:
            found = _patiently(lambda source=source: _promises(file.role, source, layers))  # type: ignore[misc]
        except FetchError as error:
            if not error.elsewhere:
                raise
            refusals.append(error)
            continue
        if found:
            return found
        refusals.append(_incomplete(source))
    # Access that was refused can be given; a file that is nowhere can't.
    refused = [error for error in refusals if not isinstance(error, _Absent)]
    if refused:
        raise refused[0]
    named = "; ".join(f"{source.path} of {source.repo}" for source in file.sources)
    raise FetchError(
        f"The {SPOKEN.get(file.role, file.role)} is no longer where it was: {named}.",
        "Look for a newer Headroom, or use a folder that has the files.",
    )


def _promises(role: Role, source: Source, layers: int) -> tuple[Promise, ...]:
    """The files of ``source``; none where it lacks some."""
    from huggingface_hub import HfApi, RepoFile

    limit_waiting(TIMEOUT_SECONDS)
    api = HfApi()
    what = f"{source.path} of {source.repo}"
    try:
        commit = api.repo_info(source.repo, revision=source.revision, timeout=TIMEOUT_SECONDS).sha
        if source.layout in ("blocks", "folder"):
            listed = api.list_repo_tree(source.repo, source.path, recursive=True, revision=commit)
        else:
            listed = api.get_paths_info(source.repo, [source.path], revision=commit)
        files = [entry for entry in listed if isinstance(entry, RepoFile)]
    except Exception as error:
        raise explain(error, what) from error
    if commit is None:
        raise _not_a_hub(what)
    promises = [_promise(role, source, commit, entry) for entry in files]
    if source.layout == "blocks":
        promises = [promise for promise in promises if is_own_name(promise.within)]
    names = {promise.within for promise in promises}
    return tuple(promises) if promises and is_whole(names, source, layers) else ()


def _promise(role: Role, source: Source, commit: str, entry: "RepoFile") -> Promise:
    many = source.layout in ("blocks", "folder")
    within = entry.path.removeprefix(f"{source.path}/") if many else ""
    if (many and not re.fullmatch(r"[\w.\-]+(/[\w.\-]+)*", within)) or ".." in within:
        raise FetchError(f"{source.repo} holds a file of the name {entry.path!r}.", "Report this.")
    lfs = entry.lfs
    size, sha256 = (lfs.size, lfs.sha256) if lfs else (entry.size, None)
    return Promise(role, source.repo, commit, entry.path, within, size, sha256, entry.blob_id)


T = TypeVar("T")


def _patiently(asked: Callable[[], T]) -> T:
    """Ask again where that may help; a wait that the server names is kept to."""
    for turn in range(1, ASKED):
        try:
            return asked()
        except FetchError as error:
            if not error.again or error.wait is None or error.wait > LONGEST_WAIT:
                raise
            time.sleep(error.wait * turn)
    return asked()


# ---- refusals ------------------------------------------------------------------------------


class _Absent(FetchError):
    """It isn't there, and no login would help."""


def _incomplete(source: Source) -> FetchError:
    return _Absent(f"{source.repo} lacks a part of {source.path}.", "", elsewhere=True)


def _not_a_hub(what: str) -> FetchError:
    return FetchError(
        f"The answer about {what} isn't the hub's: a mirror that isn't one, or a login page of the "
        "network stands between.",
        "Open a web page in a browser and log in to the network; check HF_ENDPOINT if you set it.",
    )


def explain(error: Exception, what: str) -> FetchError:
    """``error`` of huggingface_hub, its HTTP client or the disk, as a sentence about ``what``."""
    import httpx2
    from huggingface_hub.errors import (
        EntryNotFoundError,
        FileMetadataError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    match error:
        case FetchError():
            return error
        case OfflineModeIsEnabled():
            return FetchError(
                "HF_HUB_OFFLINE is set, so nothing may be fetched.",
                "Unset it (and TRANSFORMERS_OFFLINE), or use a folder that has the files.",
            )
        case EntryNotFoundError() | RevisionNotFoundError():
            return _Absent(f"{what} isn't there (404).", "", elsewhere=True)
        case HfHubHTTPError():
            return _http_refusal(error, what)
        case httpx2.ProxyError() | httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return FetchError(
                f"The way to {what} is set wrongly: {error}.",
                "Check HTTPS_PROXY, ALL_PROXY and HF_ENDPOINT.",
            )
        case httpx2.TransportError():
            return FetchError(
                f"The hub can't be reached for {what}: {_reason(error)}.",
                "Check the network; HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror. " + KEPT,
                again=True,
            )
        case FileMetadataError() | ValueError() | LookupError() | TypeError():
            return _not_a_hub(what)
        case OSError():
            return _disk_refusal(error, what)
    return FetchError(f"{what} can't be fetched: {_reason(error)}.", KEPT)


def _http_refusal(error: Exception, what: str) -> FetchError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    response = error.response  # type: ignore[attr-defined]
    status = response.status_code
    token = "Log in with 'hf auth login', or set HF_TOKEN to a token that may read it."
    if isinstance(error, GatedRepoError) or status == 403:
        remedy = "Open the model's page on the hub and accept its terms there. " + token
        return FetchError(f"Access to {what} is refused ({status}).", remedy, elsewhere=True)
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return FetchError(
            f"The hub doesn't accept the login for {what} (401).",
            "HF_TOKEN, or the token of 'hf auth login', is wrong or has expired: renew it.",
            elsewhere=True,
        )
    if isinstance(error, RepositoryNotFoundError) and status == 401:
        sentence = f"{what} needs a login, or isn't there (401)."
        return FetchError(sentence, token, elsewhere=True)
    if status == 404:
        return _Absent(f"{what} isn't there (404).", "", elsewhere=True)
    if status == 429:
        wait = _named_wait(response)
        after = f" It asks for {wait:.0f} s of patience." if wait else ""
        remedy = f"Wait a little, or log in with 'hf auth login': that allows more. {KEPT}"
        sentence = f"The hub has had too many requests from here (429).{after}"
        return FetchError(sentence, remedy, again=True, wait=wait or 1.0)
    if status >= 500:
        remedy = f"That is the server's trouble: try again later. {KEPT}"
        sentence = f"The hub failed at {what} ({status})."
        return FetchError(sentence, remedy, again=True, elsewhere=True, wait=1.0)
    return FetchError(f"The hub refuses {what} ({status}).", KEPT, elsewhere=True)


def _named_wait(response: object) -> float | None:
    # Documented there, but nothing tells type checkers that it is exported.
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    headers = response.headers  # type: ignore[attr-defined]
    limits = parse_ratelimit_headers(headers)
    if limits is not None and limits.remaining == 0:
        return float(limits.reset_in_seconds)
    return retry_after(headers)


def _disk_refusal(error: OSError, what: str) -> FetchError:
    if error.errno in FULL or getattr(error, "winerror", None) in (112, 1295):
        return FetchError(
            f"The disk is full: {what} doesn't fit.",
            f"Make room, or set HEADROOM_HOME to another disk. {KEPT}",
        )
    if error.errno in CLOSED:
        place = error.filename or "the folder of the weights"
        return FetchError(
            f"{what} can't be written: {place} is read-only for this program.",
            "Make it writable, close what else uses it, or set HEADROOM_HOME to another folder.",
        )
    if error.errno == errno.EFBIG:
        return FetchError(
            f"The drive can't hold a file as large as {what}; FAT32 ends at 4 GB.",
            "Set HEADROOM_HOME to a folder on another drive (NTFS, exFAT, ext4).",
        )
    if error.errno == errno.ENAMETOOLONG:
        return FetchError(
            f"The path of {what} is too long for this drive.",
            "Set HEADROOM_HOME to a shorter one.",
        )
    # http_get's own check of the length has no number: the connection ended early.
    return FetchError(f"{what} didn't come whole: {_reason(error)}.", KEPT, again=not error.errno)


def _reason(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first.rstrip(".")
