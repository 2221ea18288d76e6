"""Who comes through a share: a drawn password, an end, caps, and nothing but what is their own.

A share is an open door to somebody's GPU and disk, so everything that passes it passes here, and
what isn't here can't be done through it.
"""

import base64
import secrets
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.default_model import asked_for
from engine.engine import Engine
from engine.errors import ExitCode, HeadroomError
from engine.guard.verdicts import Refused
from engine.jobs import Job, State
from engine.library.library import Clip
from engine.pipelines import is_here
from engine.presets import ModelPreset
from engine.request import ClipRequest, Size
from engine.text import NOTHING, Said, Text
from ui.server.throttle import Throttle, TooManyTries
from ui.share.countdown import Countdown

HOURS = (1, 2, 4, 8)
DEFAULT_HOURS = 2
UNFINISHED_EACH = 2  # jobs that a visitor, and an address, may have waiting and running
UNFINISHED_ALL = 10
VISITORS, VISITORS_EACH = 50, 8  # who may be inside at once, in all and of one address
UNSEEN_SECONDS = 30.0  # six times what a page in the background asks in
PICTURES_EACH = 30  # of an address, in a share's time
PICTURE_BYTES = 20_000_000
NAME_LIMIT = 40
PASSWORD_BYTES = 10  # 80 bits; 16 characters to type


class ShareError(HeadroomError):
    """What a visitor asked for can't be; the sentence tells nothing of the owner's computer."""

    exit_code = ExitCode.REFUSED


class WrongPassword(ShareError):
    """``wait``: seconds before this address may try again."""

    def __init__(self, sentence: Said, remedy: Said, wait: float) -> None:
        super().__init__(sentence, remedy)
        self.wait = wait


@dataclass
class Visitor:
    """Somebody who knew the password. ``id`` is what their jobs carry; ``name`` may be empty;
    ``pictures``: what they sent, by SHA-256."""

    id: str
    name: str
    address: str
    since: float
    seen: float
    pictures: set[str] = field(default_factory=set)


@dataclass
class Share:
    """One time that visitors are let in, for one model, for ``seconds`` by either clock.

    The password is kept only to be compared; whoever opens it shows it once. ``id`` is under what
    the engine knows it (``engine/open_shares.py``).
    """

    model: str
    seconds: float
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    id: str = ""
    password: str = field(default_factory=lambda: draw_password())
    closed: bool = False
    _visitors: dict[str, Visitor] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._countdown = Countdown(self.seconds, (self.clock, self.wall))
        self._throttle = Throttle(self.clock)

    @property
    def left(self) -> float:
        """Seconds; 0 once it is over."""
        return 0.0 if self.closed else self._countdown.left

    @property
    def open(self) -> bool:
        return self.left > 0

    def enter(self, password: str, name: str, address: str) -> str:
        """Let somebody in; returns the token of their cookie.

        Raises:
            WrongPassword: or this address has to wait after wrong ones.
            ShareError: it is over, or full of people who are there.
        """
        with self._lock:
            now = self.clock()
            if not self.open:
                raise ShareError(Text("visitors.ended"), Text("visitors.ask_for_new"))
            try:
                right = self._throttle.judge(address, lambda: self._knows(password))
            except TooManyTries as error:
                raise _wait(error.seconds) from error
            if not right:
                raise _wait(self._throttle.wait(address))
            name = _name(name)
            if len(name) > NAME_LIMIT:
                long = Text("visitors.long_name", count=len(name), most=NAME_LIMIT)
                raise ShareError(long, Text("visitors.shorter_name"))
            self._make_room(address, now)
            token = secrets.token_urlsafe(24)
            own = f"{self.id}.{secrets.token_hex(8)}"
            visitor = Visitor(own, name, address, now, now)
            self._visitors[token] = visitor
            return token

    def _knows(self, password: str) -> bool:
        return secrets.compare_digest(_plain(password), _plain(self.password))

    def _make_room(self, address: str, now: float) -> None:
        """Who was longest unseen has to enter again: of this address where it has as many as it
        may, else of all. Their clips stay on the owner's list. Whose page asks is never put out:
        more people than places would do it to each other for ever.

        Raises:
            ShareError: all of them are there.
        """
        inside = list(self._visitors.items())
        same = [(token, one) for token, one in inside if one.address == address]
        own_full = len(same) >= VISITORS_EACH
        full = same if own_full else inside if len(inside) >= VISITORS else []
        if not full:
            return
        token, longest = min(full, key=lambda entry: entry[1].seen)
        if now - longest.seen < UNSEEN_SECONDS:
            why = Text(
                "visitors.address_is_full" if own_full else "visitors.share_is_full",
                count=len(full),
            )
            raise ShareError(why, Text("visitors.when_one_leaves"))
        del self._visitors[token]

    def visitor(self, token: str | None) -> Visitor | None:
        """Whose cookie it is; None for nobody's, or once the share is over."""
        with self._lock:
            found = self._visitors.get(token or "") if self.open else None
            if found is not None:
                found.seen = self.clock()
            return found

    def visitors(self) -> list[Visitor]:
        with self._lock:
            return list(self._visitors.values())

    def close(self) -> None:
        self.closed = True


class Visits:
    """What visitors may do: ask within their caps, see and cancel their own. One for each share."""

    def __init__(self, engine: Engine, share: Share) -> None:
        """Raises NotNoted: nobody could tell that it is open."""
        self.engine, self.share = engine, share
        self._noted = engine.jobs.shares.open(share.seconds)
        share.id = self._noted.id
        self._lock = threading.Lock()  # looking whether it may be, and queueing, are one step
        self._sent: Counter[str] = Counter()  # pictures, by address
        self._asked: dict[int, str] = {}  # unfinished jobs, and the address that each came from

    @property
    def preset(self) -> ModelPreset:
        return self.engine.presets.models[self.share.model]

    @property
    def picture_preset(self) -> ModelPreset | None:
        """The model that makes clips from visitors' pictures; None where there is none ready."""
        preset = self.preset
        if not preset.begins_with_picture:
            named = self.engine.presets.models.get(preset.from_picture or "")
            if named is None:
                return None
            preset = named
        try:
            self.engine.check_ready(preset.id)
        except HeadroomError:
            return None
        return preset

    def take_picture(self, visitor: Visitor, data: bytes, name: Said) -> str:
        """Keep a picture for their next clips; returns its SHA-256.

        Raises:
            PictureError: it isn't one that can be used.
            ShareError: none are taken here, or no more.
        """
        if self.picture_preset is None:
            raise ShareError(Text("visitors.no_pictures"), Text("visitors.words_alone"))
        with self._lock:
            if self._sent[visitor.address] >= PICTURES_EACH:
                many = Text("visitors.many_pictures", count=PICTURES_EACH)
                raise ShareError(many, Text("visitors.words_alone"))
            self._sent[visitor.address] += 1
        picture = self.engine.intake.take_bytes(data, name)
        visitor.pictures.add(picture.sha256)
        return picture.sha256

    @property
    def most(self) -> Size:
        """The largest that a visitor may ask for."""
        default = self.preset.default
        return Size(default.height, default.width, default.frames)

    def submit(self, visitor: Visitor, raw: Mapping[str, object]) -> Job:
        """Queue a clip behind the owner's jobs.

        Raises:
            RequestError: a field is refused.
            ShareError: over a cap, or not open on this machine now; no details of it.
        """
        if "model" in raw:
            raise ShareError(Text("visitors.no_model"), Text("visitors.leave_it_out"))
        request = self._request(visitor, raw)
        most = self.most
        if request.size.tokens > most.tokens or request.size.pixels > most.pixels:
            raise ShareError(
                Text("visitors.largest", width=most.width, height=most.height, frames=most.frames),
                Text("visitors.choose_smaller"),
            )
        if not is_here(self.preset):
            raise ShareError(Text("visitors.not_yet"), Text("visitors.in_minutes"))
        with self._lock:
            if not self.share.open:  # it was when the visitor's cookie was looked at
                raise ShareError(Text("visitors.ended"), Text("visitors.ask_for_new"))
            unfinished = self.engine.jobs.unfinished_of_visitors()
            self._asked = {job.id: self._asked.get(job.id, "") for job in unfinished}
            if sum(job.visitor == visitor.id for job in unfinished) >= UNFINISHED_EACH:
                yours = Text("visitors.yours_wait", count=UNFINISHED_EACH)
                raise ShareError(yours, Text("visitors.wait_for_one"))
            if [*self._asked.values()].count(visitor.address) >= UNFINISHED_EACH:
                others = Text("visitors.address_waits", count=UNFINISHED_EACH)
                raise ShareError(others, Text("visitors.wait_for_one"))
            if len(unfinished) >= UNFINISHED_ALL:
                raise ShareError(Text("visitors.too_many_wait"), Text("visitors.in_minutes"))
            try:
                who = (visitor.id, visitor.name or "somebody")
                job = self.engine.submit_all([request], visitor=who)[0]
            except Refused as error:
                remedy = Text("visitors.later") if error.nearest is None else _take(error.nearest)
                raise ShareError(Text("visitors.size_not_now"), remedy) from error
            except HeadroomError as error:
                raise ShareError(Text("visitors.not_now"), Text("visitors.tell_owner")) from error
            self._asked[job.id] = visitor.address
            return job

    def _request(self, visitor: Visitor, raw: Mapping[str, object]) -> ClipRequest:
        """Raises RequestError, and ShareError for pictures that aren't theirs."""
        pictures = [raw[name] for name in ("image", "last_image") if raw.get(name)]
        if any(picture not in visitor.pictures for picture in map(str, pictures)):
            raise ShareError(Text("visitors.no_such_picture"), Text("pictures.choose_again"))
        preset = self.picture_preset if pictures else self.preset
        if preset is None:
            raise ShareError(Text("visitors.no_pictures"), Text("visitors.words_alone"))
        return asked_for(self.engine, {**raw, "model": preset.id})

    def jobs(self, visitor: Visitor) -> list[Job]:
        """Their own, the newest first."""
        return self.engine.jobs.of_visitor(visitor.id)

    def before(self, job: Job) -> int:
        """How many jobs, whoever's, come before a waiting one; what runs counts as one of them
        unless a lane is idle."""
        waiting = [other.id for other in self.engine.jobs.waiting()]
        busy = not self.engine.has_idle_lane(job.request.model)
        return (waiting.index(job.id) if job.id in waiting else 0) + busy

    def cancel(self, visitor: Visitor, job: int) -> None:
        """Raises ShareError: it isn't theirs."""
        self._own(visitor, job)
        self.engine.cancel(job)

    def clip(self, visitor: Visitor, job: int) -> Clip | None:
        """The clip of a job of theirs; None while there is none.

        Raises:
            ShareError: it isn't theirs.
        """
        self._own(visitor, job)
        clip = self.engine.library.of_job(job)
        return None if clip is None or clip.trashed or clip.missing else clip

    def _own(self, visitor: Visitor, job: int) -> None:
        if job not in [own.id for own in self.jobs(visitor)]:
            raise ShareError(Text("visitors.not_yours"), Text("visitors.look_at_list"))

    def close(self) -> None:
        """Nobody is let in any more, and nothing of its visitors is begun."""
        self.share.close()
        self._noted.close()

    def end(self) -> None:
        """``close``, and cancel what its visitors have unfinished.

        Raises:
            StoreError: they are on the list still, and will be cancelled by whoever comes next.
        """
        with self._lock:  # what is being queued this moment is cancelled below
            self.close()
        self.engine.cancel_strays()


def draw_password() -> str:
    """80 random bits as four groups of letters and digits that can't be mistaken for others."""
    text = base64.b32encode(secrets.token_bytes(PASSWORD_BYTES)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def told(job: Job) -> Text:
    """What a visitor learns of the job's end; why something failed is the owner's to know."""
    if job.state is State.FAILED:
        return Text("visitors.failed")
    return Text("visitors.cancelled") if job.state is State.CANCELLED else NOTHING


def _take(size: Size) -> Text:
    return Text("visitors.take", width=size.width, height=size.height, frames=size.frames)


def _plain(password: str) -> bytes:
    """As it may be typed: without the dashes, in any case."""
    kept = "".join(c for c in password[:100].lower() if c.isalnum())
    return kept.encode("utf-8", "replace")


def _name(text: str) -> str:
    kept = "".join(c for c in text if unicodedata.category(c)[0] != "C").strip()
    return " ".join(kept.split())


def _wait(seconds: float) -> WrongPassword:
    again = Text("visitors.again_in", seconds=max(1, round(seconds)))
    return WrongPassword(Text("visitors.wrong_password"), again, seconds)
