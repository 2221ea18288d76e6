"""Which of NVIDIA's GPUs are meant: by memory, HEADROOM_GPU and CUDA_VISIBLE_DEVICES. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.text import NOTHING, Said, Text, as_text

BF16_CAPABILITY = (8, 0)  # as in engine/plan/lightx2v.py: what every model for GPUs needs
LONGEST_NAME = 200  # characters; NVML gives up to 1024 bytes, chosen by whoever named the process


class Trouble(Exception):
    """Why there is no reading: ``problem`` is for the user."""

    def __init__(self, problem: Said) -> None:
        super().__init__(problem)
        self.problem = as_text(problem)


class Absent(Trouble):
    """There is no NVIDIA GPU to measure."""


class Lost(Trouble):
    """There is one, and it doesn't answer now; the problem says that it is lost."""


@dataclass(frozen=True)
class Card:
    """A GPU as far as choosing needs it. ``total`` in bytes, -1 if it doesn't tell. ``sliced``: it
    is divided (MIG), so that CUDA sees its slices only, whose memory isn't the card's. ``old``: no
    model for GPUs runs on it, however much memory it has."""

    index: int
    uuid: str
    name: str
    total: int
    sliced: bool = False
    old: bool = False

    @property
    def rank(self) -> tuple[bool, int]:
        """The larger, the sooner it is taken."""
        return not self.old, self.total


@dataclass(frozen=True)
class Usable:
    """The GPUs that each get a lane, and why others don't. The first is ``choose``'s."""

    cards: tuple[Card, ...]
    left_out: tuple[Text, ...] = ()


def usable(cards: Sequence[Card], wanted: str, visible: str | None) -> Usable:
    """Every GPU that may make clips: those that HEADROOM_GPU lists, in its order, else all, the one
    with the most memory first, but old ones last.

    Args:
        cards, visible: as for ``choose``.
        wanted: HEADROOM_GPU, several separated by commas; of an entry that fits none is told, and
            where none fits, as if it was unset.
    """
    told: list[Text] = []
    seen: list[Card] = []
    for card in _allowed(cards, visible) if cards else []:
        if card.sliced:
            told.append(Text("machine.card_sliced", index=card.index, gpu=card.name))
        elif card.total <= 0:
            told.append(Text("machine.card_tells_nothing", index=card.index, gpu=card.name))
        else:
            seen.append(card)
    named: list[Card] = []
    for entry in filter(None, (entry.strip() for entry in wanted.split(","))):
        found = _find(seen, entry)
        if found is None:
            told.append(Text("machine.listed_unknown", wanted=printable(entry)))
        elif found not in named:
            named.append(found)
    best_first = sorted(seen, key=lambda card: card.rank, reverse=True)
    return Usable(tuple(named or best_first), tuple(told))


def choose(cards: Sequence[Card], wanted: str, visible: str | None) -> tuple[Card, Text]:
    """The GPU to measure, and what to say if that isn't the one that was asked for (else NOTHING).

    Args:
        cards: all GPUs in NVML's order; at least one.
        wanted: HEADROOM_GPU: an index in NVML's order (the one ``nvidia-smi -L`` shows, whatever
            CUDA_VISIBLE_DEVICES says) or the beginning of a UUID; "" takes the best by ``rank``.
        visible: CUDA_VISIBLE_DEVICES, None if unset. NVML ignores it, CUDA doesn't. Its indices
            count as NVML's, which is CUDA's order under CUDA_DEVICE_ORDER=PCI_BUS_ID.

    Raises:
        Absent: CUDA_VISIBLE_DEVICES leaves no GPU, or all are sliced.
    """
    allowed = _allowed(cards, visible)
    whole = [card for card in allowed if not card.sliced]
    if not whole:
        first = allowed[0]
        raise Absent(Text("machine.card_sliced", index=first.index, gpu=first.name))
    default = max(whole, key=lambda card: card.rank)
    wanted = wanted.strip()
    if not wanted:
        return default, NOTHING
    named = f"HEADROOM_GPU={printable(wanted)}"
    instead = Text("machine.instead", index=default.index, gpu=default.name)
    if wanted.upper().startswith("MIG-"):
        return default, Text("machine.wanted_slice", wanted=named, instead=instead)
    card = _find(cards, wanted)
    if card is None:
        return default, Text("machine.wanted_unknown", wanted=named, instead=instead)
    if card not in allowed:
        hidden = Text(
            "machine.wanted_hidden", wanted=named, visible=printable(visible), instead=instead
        )
        return default, hidden
    if card.sliced:
        return default, Text("machine.wanted_sliced", wanted=named, instead=instead)
    return card, NOTHING


def _allowed(cards: Sequence[Card], visible: str | None) -> list[Card]:
    return list(cards) if visible is None else _visible(cards, visible)


def _visible(cards: Sequence[Card], visible: str) -> list[Card]:
    """What CUDA would see: as CUDA does, the list ends at the first entry that is no GPU."""
    seen: list[Card] = []
    for entry in visible.split(","):
        if entry.strip().upper().startswith("MIG-"):
            if not seen:
                raise Absent(Text("machine.visible_slice"))
            break
        card = _find(cards, entry)
        if card is None:
            break
        seen.append(card)
    if not seen:
        raise Absent(Text("machine.all_hidden", visible=printable(visible)))
    return seen


def _find(cards: Sequence[Card], text: str) -> Card | None:
    """By index, or by a UUID's beginning that fits only one."""
    text = text.strip()
    if text.isdecimal():
        found = [card for card in cards if str(card.index) == text]
    elif text.upper().startswith("GPU-"):
        found = [card for card in cards if card.uuid.upper().startswith(text.upper())]
    else:
        found = []
    return found[0] if len(found) == 1 else None


def card_name(name: str) -> str:
    """A GPU as its owner calls it: "RTX 4060 Ti"."""
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ").strip() or name


def printable(text: object) -> str:
    """``text`` from outside on one line: decoded, without control characters, not endless."""
    if text is None:
        return ""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    shown = "".join(letter for letter in str(text) if letter.isprintable()).strip()
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…"
