"""What is here of a model's weights: ready, partly, missing or damaged, part by part.

Offline, and without opening more than headers: what was hashed stands in the Manifest.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.home import free_bytes
from engine.presets import OPTIONAL, TRANSFORMERS, ModelPreset, Role, WeightFile
from engine.text import NOTHING, FileSize, Text
from engine.weights.checkpoint import (
    find_part,
    find_parts,
    one_after_another,
)
from engine.weights.disk_space import SPARE
from engine.weights.fetch import held
from engine.weights.header_check import check_files, check_headers
from engine.weights.hub import WeightsError
from engine.weights.linked_folders import (
    each_linked_that_is_gone,
    folders,
    likely_places,
    link,
    linked,
)
from engine.weights.manifest import OURS, Manifest, Promise
from engine.weights.safetensors_header import WrongWeights
from engine.weights.sharing import Held, held_elsewhere, shared_part, shared_with

State = Literal["ready", "partial", "missing", "damaged"]


@dataclass(frozen=True)
class WeightPart:
    """A part of a checkpoint: ``present`` of ``total`` bytes, ``place`` where they lie.

    ``repo`` and ``path`` are the hub's names: of the source that was chosen, else the preferred.
    ``shared_with``: the model that has the same files; without a ``place`` they are only there, and
    a download gives them a name here without fetching them."""

    role: Role
    repo: str
    path: str
    total: int
    present: int
    place: Path | None
    damaged: tuple[Path, ...] = ()
    shared_with: str = ""

    @property
    def waits(self) -> bool:
        """Whether it lies in another model's folder only."""
        return bool(self.shared_with) and self.place is None

    @property
    def state(self) -> State:
        return _state(self.present, self.total, bool(self.damaged))


@dataclass(frozen=True)
class Weights:
    """All parts of a model's weights. ``extras``: those that it makes clips without, too, which
    count in nothing below; ``gone``: linked folders that aren't there now; ``told`` and
    ``remedy``: what is wrong with files that are damaged."""

    model: str
    folder: Path
    parts: tuple[WeightPart, ...]
    linked: tuple[Path, ...] = ()
    gone: tuple[Path, ...] = ()
    told: Text = NOTHING
    remedy: Text = NOTHING
    extras: tuple[WeightPart, ...] = ()

    @property
    def total(self) -> int:
        return sum(part.total for part in self.parts)

    @property
    def present(self) -> int:
        return sum(part.present for part in self.parts)

    @property
    def missing(self) -> int:
        return self.total - self.present

    @property
    def damaged(self) -> tuple[Path, ...]:
        return tuple(file for part in self.parts for file in part.damaged)

    @property
    def lacking(self) -> tuple[WeightPart, ...]:
        """The extras that aren't here."""
        return tuple(part for part in self.extras if part.state != "ready")

    @property
    def percent(self) -> int:
        """Rounded down: 100 means all of it. A model that needs none has all."""
        return 100 * self.present // self.total if self.total else 100

    @property
    def state(self) -> State:
        found = _state(self.present, self.total, bool(self.damaged or self.told))
        return "partial" if found == "ready" and any(part.waits for part in self.parts) else found

    @property
    def needed(self) -> int:
        """Bytes that a download needs on the drive, with what has to stay free."""
        return self.missing + SPARE if self.missing else 0

    @property
    def free(self) -> int:
        return free_bytes(self.folder)

    @property
    def fits(self) -> bool:
        """Whether what is missing can be fetched to the drive."""
        return self.needed <= self.free


def _state(present: int, total: int, damaged: bool) -> State:
    if damaged:
        return "damaged"
    if present >= total:
        return "ready"
    return "partial" if present else "missing"


def weights_text(seen: Weights) -> Text:
    """The state in a few words: "ready, 22.3 GB", "partial 61 %", "missing 22.3 GB"."""
    match seen.state:
        case "ready":
            if not seen.total:
                return Text("weights.ready")
            return Text("weights.ready_size", size=FileSize(seen.total))
        case "partial":
            return Text("weights.partial", percent=seen.percent, size=FileSize(seen.missing))
        case "damaged":
            return Text("weights.damaged")
    return Text("weights.missing", size=FileSize(seen.total))


# ---- looking -------------------------------------------------------------------------------


def look(folder: Path, preset: ModelPreset) -> Weights:
    """What lies in the model's ``folder`` and in those linked there."""
    manifest = Manifest.load(folder)
    where, others = places(folder, preset, manifest), held_elsewhere(folder)
    every = [_part(folder, preset, file, manifest, where, others) for file in preset.weights]
    parts = tuple(part for part in every if part.role not in OPTIONAL)
    extras = tuple(part for part in every if part.role in OPTIONAL)
    links, gone = tuple(linked(folder)), tuple(each_linked_that_is_gone(folder))
    seen = Weights(preset.id, folder, parts, links, gone, extras=extras)
    if not parts or seen.state != "ready":
        return seen
    try:
        check_headers(find_parts(folder, preset), preset)
    except WrongWeights as error:
        return replace(seen, told=error.sentence, remedy=error.remedy)
    return seen


def extras_here(folder: Path, preset: ModelPreset) -> frozenset[Role]:
    """Which of the optional parts lie there; a quick look, without the record."""
    where = folders(folder)
    return frozenset(
        file.role
        for file in preset.weights
        if file.optional and find_part(where, file, preset.layers, whole=True)
    )


def places(
    folder: Path, preset: ModelPreset, manifest: Manifest, own_first: bool = False
) -> dict[str, Path]:
    """Where each promised file lies, or will: where it is loaded from, else in the own folder.

    Args:
        own_first: a copy in the own folder counts though a linked folder's is loaded.
    """
    where = folders(folder)
    parts = {file.role: find_part(where, file, preset.layers) for file in preset.weights}
    found = {}
    for path, promise in list(manifest.promises.items()):
        part, own = parts.get(promise.role), folder / path
        found[path] = own
        if part and os.path.isdir(part) == bool(promise.within):
            loaded = part / promise.within if promise.within else part
            if not os.path.exists(own) or (os.path.exists(loaded) and not own_first):
                found[path] = loaded
    return found


def _part(
    folder: Path,
    preset: ModelPreset,
    file: WeightFile,
    manifest: Manifest,
    where: dict[str, Path],
    others: Sequence[Held],
) -> WeightPart:
    place = find_part(folders(folder), file, preset.layers)
    if place is None and (there := shared_part(folder, others, file, preset.layers)):
        total = sum(one.promise.bytes for one in there)
        named = there[0].promise.repo, _common([one.promise for one in there])
        return WeightPart(file.role, *named, total, total, None, (), there[0].model)
    promises, source = manifest.of(file.role), file.sources[0]
    if not promises:  # nobody asked the hub yet: what is there counts as it is
        present = _size(place) if place else 0
        whole = find_part(folders(folder), file, preset.layers, whole=True)
        total = present if whole else max(file.bytes, present + 1)
        return WeightPart(file.role, source.repo, source.path, total, present, place)
    present, damaged = 0, []
    for promise in promises:
        file_of_it = where[promise.path]
        if manifest.verdict(promise.path, file_of_it) is not False:
            present += promise.bytes
            continue
        present += min(held(folder / OURS / promise.part_name), promise.bytes)
        if os.path.exists(file_of_it):
            damaged.append(file_of_it)
    total = sum(promise.bytes for promise in promises)
    repo, path = promises[0].repo, _common(promises)
    other = shared_with(where, others, promises) if present == total else ""
    return WeightPart(file.role, repo, path, total, present, place, tuple(damaged), other)


def _common(promises: Sequence[Promise]) -> str:
    first = promises[0]
    return first.path.removesuffix(first.within).rstrip("/")


def _size(place: Path) -> int:
    """Its bytes; 0 for what can't be looked at any more."""
    with contextlib.suppress(OSError):
        files = place.rglob("*") if os.path.isdir(place) else [place]
        return sum(os.path.getsize(file) for file in files if os.path.isfile(file))
    return 0


# ---- using what is there already -----------------------------------------------------------


def useful(candidates: Iterable[Path], preset: ModelPreset) -> list[Path]:
    """Those of ``candidates`` that hold a part: the first with all of it, else with some.

    Raises:
        WrongWeights: the transformer that is there isn't the model's.
    """
    candidates, found = list(candidates), []
    for file in preset.weights:
        for whole in (True, False):
            pairs = ((c, find_part([c], file, preset.layers, whole)) for c in candidates)
            hit = next(((c, place) for c, place in pairs if place), None)
            if hit is None:
                continue
            if file.role in TRANSFORMERS and whole:
                check_files(hit[1], preset, file.role)
            found.append(hit[0])
            break
    return list(dict.fromkeys(found))


def use(folder: Path, preset: ModelPreset, named: str | Path) -> list[Path]:
    """Link what lies in or below the folder ``named``; nothing of it is copied or changed.

    Returns:
        the folders that are linked now.

    Raises:
        WeightsError: it isn't a folder, or holds nothing of this model.
        WrongWeights: it holds another model, or another layout.
    """
    # "~somebody" stays as it is where there is no such user.
    place = Path(os.path.expanduser(named))
    with contextlib.suppress(OSError):  # the current folder was removed, so nothing is there
        place = Path(os.path.abspath(place))
    if not os.path.isdir(place):  # which takes a name that no folder can have for one, too
        raise WeightsError(Text("weights.no_folder", folder=place), Text("weights.name_a_folder"))
    found = [other for other in useful(likely_places(place, preset), preset) if other != folder]
    if not found:
        needed = (file for file in preset.weights if not file.optional)
        paths = one_after_another(file.sources[0].path for file in needed)
        raise WeightsError(
            Text("weights.holds_nothing", folder=place, model=preset.name),
            Text("weights.name_the_folder_with", paths=paths),
        )
    try:
        link(folder, found)
        _forget_what_is_whole_elsewhere(folder, preset)
    except OSError as error:
        raise WeightsError(
            Text("weights.link_not_kept", folder=folder, why=error.strerror or str(error)),
            Text("weights.make_folder_writable"),
        ) from error
    return found


def _forget_what_is_whole_elsewhere(folder: Path, preset: ModelPreset) -> None:
    """A part that was begun from the hub and is whole in a linked folder, maybe in another layout,
    needn't be gone on with."""
    manifest = Manifest.load(folder)
    where = places(folder, preset, manifest)
    for file in preset.weights:
        begun = any(not os.path.exists(where[promise.path]) for promise in manifest.of(file.role))
        if begun and find_part(folders(folder), file, preset.layers, whole=True):
            manifest.promise(file.role, ())
            manifest.save()
