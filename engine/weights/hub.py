"""What the hub says of a model's files, and its refusals as sentences with remedies.

Mirrors, tokens, proxies and offline mode are huggingface_hub's own business (HF_ENDPOINT, HF_TOKEN,
HF_HUB_OFFLINE, HTTPS_PROXY); nothing here reads them.
"""

import errno
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from engine.errors import ExitCode, HeadroomError
from engine.presets import Role, Source, WeightFile
from engine.process.outward import CORRECT_IT, fault
from engine.text import NOTHING, Said, Text, joined
from engine.weights.checkpoint import is_own_name, is_whole, one_after_another, part_text
from engine.weights.hub_private import limit_waiting, retry_after
from engine.weights.manifest import Promise

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

log = logging.getLogger("headroom.weights")

TIMEOUT_SECONDS = 30.0
ASKED = 4  # times, when a server is out of order or asks to wait
LONGEST_WAIT = 60.0

KEPT = Text("weights.kept")
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
        sentence: Said,
        remedy: Said,
        again: bool = False,
        elsewhere: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(sentence, remedy)
        self.again, self.elsewhere, self.wait = again, elsewhere, wait


# ---- asking --------------------------------------------------------------------------------


def ask(
    file: WeightFile,
    layers: int,
    without: Collection[str] = (),
    commits: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Promise, ...]:
    """What the first source that has all of ``file`` promises of it.

    Args:
        layers: how many blocks the transformer has.
        without: repositories that are known not to deliver.
        commits: the revisions that repositories were at before; one that is gone is given up.

    Raises:
        FetchError: no source has it, or the hub can't be asked.
    """
    refusals: list[FetchError] = []
    for source in file.sources:
        if source.repo in without:
            continue
        try:
            found = _patiently(lambda source=source: _pinned(file.role, source, layers, commits))  # type: ignore[misc]
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
    places = one_after_another(_named(source) for source in file.sources)
    raise FetchError(
        Text("weights.no_longer_there", part=part_text(file.role), places=places),
        Text("weights.look_for_newer"),
    )


def _named(source: Source) -> Text:
    return Text("weights.path_of_repo", path=source.path, repo=source.repo)


def _pinned(
    role: Role, source: Source, layers: int, commits: Mapping[str, str]
) -> tuple[Promise, ...]:
    """``_promises`` at the revision of before, as long as the hub has that."""
    before = commits.get(source.repo)
    if before is not None and source.revision == "main":
        try:
            return _promises(role, source.model_copy(update={"revision": before}), layers)
        except _Absent:
            log.warning("%s has no revision %s any more", source.repo, before)
    return _promises(role, source, layers)


def _promises(role: Role, source: Source, layers: int) -> tuple[Promise, ...]:
    """The files of ``source``; none where it lacks some."""
    from huggingface_hub import HfApi, RepoFile

    limit_waiting(TIMEOUT_SECONDS)
    api = HfApi()
    what = _named(source)
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
        odd = Text("weights.odd_name", repo=source.repo, name=repr(entry.path))
        raise FetchError(odd, Text("weights.report_this"))
    lfs = entry.lfs
    size, sha256 = (lfs.size, lfs.sha256) if lfs else (entry.size, None)
    stated = dict(source.sha256).get(entry.path, sha256)
    if sha256 not in (None, stated):
        raise FetchError(
            Text("weights.not_as_stated", path=entry.path, repo=source.repo),
            Text("weights.look_for_newer"),
            elsewhere=True,
        )
    return Promise(role, source.repo, commit, entry.path, within, size, stated, entry.blob_id)


def safetensors_of(repo: str, revision: str = "main") -> tuple[Promise, ...]:
    """Every safetensors file of ``repo``, whatever it is.

    Raises:
        FetchError: there is no such repository, or the hub can't be asked.
    """
    return _patiently(lambda: _safetensors_of(repo, revision))


def _safetensors_of(repo: str, revision: str) -> tuple[Promise, ...]:
    from huggingface_hub import HfApi, RepoFile

    limit_waiting(TIMEOUT_SECONDS)
    api = HfApi()
    try:
        commit = api.repo_info(repo, revision=revision, timeout=TIMEOUT_SECONDS).sha
        entries = list(api.list_repo_tree(repo, recursive=True, revision=commit))
    except Exception as error:
        raise explain(error, repo) from error
    if commit is None:
        raise _not_a_hub(repo)
    found = []
    for entry in entries:
        if isinstance(entry, RepoFile) and entry.path.lower().endswith(".safetensors"):
            size, sha256 = (entry.lfs.size, entry.lfs.sha256) if entry.lfs else (entry.size, None)
            # The role says where in a checkpoint a file goes, and this one goes in none.
            held = Promise("transformer", repo, commit, entry.path, "", size, sha256, entry.blob_id)
            found.append(held)
    return tuple(found)


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
    lacks = Text("weights.source_incomplete", repo=source.repo, path=source.path)
    return _Absent(lacks, NOTHING, elsewhere=True)


def _absent(what: Said) -> FetchError:
    return _Absent(Text("weights.absent", what=what), NOTHING, elsewhere=True)


def _not_a_hub(what: Said) -> FetchError:
    return FetchError(Text("weights.not_a_hub", what=what), Text("weights.open_a_browser"))


def _wrong_way(error: Exception, what: Said) -> FetchError:
    wrong = Text("weights.way_set_wrongly", what=what, why=_reason(error))
    return FetchError(wrong, Text("weights.check_the_way"))


def _token_is_odd() -> bool:
    """Whether the login that the hub's library found can't stand in a header."""
    from huggingface_hub import get_token

    try:
        token = get_token()
    except (OSError, UnicodeError):
        return True
    return token is not None and not (token.isascii() and token.isprintable() and " " not in token)


def explain(error: Exception, what: Said) -> FetchError:
    """``error`` of huggingface_hub, its HTTP client or the disk, as a sentence about ``what``."""
    import httpx2
    from huggingface_hub.errors import (
        EntryNotFoundError,
        FileMetadataError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    if not isinstance(error, FetchError) and (why := fault(error, hub=True)):
        return FetchError(Text("weights.way_set_wrongly", what=what, why=why), CORRECT_IT)
    match error:
        case FetchError():
            return error
        case OfflineModeIsEnabled():
            return FetchError(Text("weights.offline"), Text("weights.unset_offline"))
        case EntryNotFoundError() | RevisionNotFoundError():
            return _absent(what)
        case HfHubHTTPError():
            return _http_refusal(error, what)
        case UnicodeError() | httpx2.LocalProtocolError() if _token_is_odd():
            return FetchError(Text("weights.odd_token"), Text("weights.copy_token"))
        case UnicodeError():  # an address, since the token is sound
            why = Text("outward.no_address")
            wrong = Text("weights.way_set_wrongly", what=what, why=why)
            return FetchError(wrong, Text("weights.check_the_way"))
        case httpx2.ProxyError() | httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return _wrong_way(error, what)
        case httpx2.TransportError():
            return FetchError(
                Text("weights.unreachable", what=what, why=_reason(error)),
                joined(Text("weights.check_network"), KEPT),
                again=True,
            )
        case FileMetadataError() | ValueError() | LookupError() | TypeError():
            return _not_a_hub(what)
        case OSError():
            return _disk_refusal(error, what)
    return FetchError(Text("weights.cant_fetch", what=what, why=_reason(error)), KEPT)


def _http_refusal(error: Exception, what: Said) -> FetchError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    response = error.response  # type: ignore[attr-defined]
    status = response.status_code
    log_in = Text("weights.log_in")
    if isinstance(error, GatedRepoError) or status == 403:
        refused = Text("weights.access_refused", what=what, status=status)
        return FetchError(refused, joined(Text("weights.accept_terms"), log_in), elsewhere=True)
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        refused = Text("weights.login_refused", what=what)
        return FetchError(refused, Text("weights.renew_token"), elsewhere=True)
    if isinstance(error, RepositoryNotFoundError) and status == 401:
        return FetchError(Text("weights.needs_login", what=what), log_in, elsewhere=True)
    if status == 404:
        return _absent(what)
    if status == 429:
        wait = _named_wait(response)
        asked = Text("weights.asks_patience", seconds=wait) if wait else NOTHING
        sentence = joined(Text("weights.too_many_requests"), asked)
        remedy = joined(Text("weights.wait_or_log_in"), KEPT)
        return FetchError(sentence, remedy, again=True, wait=wait or 1.0)
    if status >= 500:
        remedy = joined(Text("weights.try_later"), KEPT)
        sentence = Text("weights.hub_failed", what=what, status=status)
        return FetchError(sentence, remedy, again=True, elsewhere=True, wait=1.0)
    refused = Text("weights.hub_refuses", what=what, status=status)
    return FetchError(refused, KEPT, elsewhere=True)


def _named_wait(response: object) -> float | None:
    # Documented there, but nothing tells type checkers that it is exported.
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    headers = response.headers  # type: ignore[attr-defined]
    limits = parse_ratelimit_headers(headers)
    if limits is not None and limits.remaining == 0:
        return float(limits.reset_in_seconds)
    return retry_after(headers)


def _disk_refusal(error: OSError, what: Said) -> FetchError:
    if error.errno in FULL or getattr(error, "winerror", None) in (112, 1295):
        return FetchError(
            Text("weights.disk_full", what=what), joined(Text("weights.make_room"), KEPT)
        )
    if error.errno in CLOSED:
        place = str(error.filename) if error.filename else Text("weights.the_folder")
        return FetchError(
            Text("weights.read_only", what=what, place=place), Text("weights.make_writable")
        )
    if error.errno == errno.EFBIG:
        return FetchError(
            Text("weights.too_large_for_drive", what=what), Text("weights.another_drive")
        )
    if error.errno == errno.ENAMETOOLONG:
        return FetchError(Text("weights.name_too_long", what=what), Text("weights.shorter_home"))
    # http_get's own check of the length has no number: the connection ended early.
    cut = Text("weights.not_come_whole", what=what, why=_reason(error))
    return FetchError(cut, KEPT, again=not error.errno)


def _reason(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first.rstrip(".")
