"""The folder of adapters: people put files there, and requests know them by their SHA-256.

A file's hash is kept beside it, in ``.headroom/NAME.json``, for as long as nobody changes the file;
one that somebody drops into the folder is hashed when it is first looked at.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.adapters.fit import Fit, fit, require
from engine.adapters.lora_file import AdapterError, LoraFile, read_lora
from engine.adapters.pairs import Noise, noise_of, pairs
from engine.home import Home, free_bytes
from engine.presets import ModelPreset
from engine.process import moves
from engine.process.own_files import sha256_of
from engine.request import Adapter
from engine.text import FileSize, Text, listed
from engine.weights.disk_space import SPARE
from engine.weights.manifest import OURS, Check, write_json

ENDING = ".safetensors"
LEAST_HASH = 6  # letters of a hash that may name a file
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # in no file's name on Windows


@dataclass(frozen=True)
class AdapterFile:
    """A file of the folder. ``noise``: the expert of Wan 2.2's that it is for; None for both."""

    path: Path
    sha256: str
    noise: Noise | None = None

    @property
    def name(self) -> str:
        return _stem(self.path)


@dataclass(frozen=True)
class AdapterEntry:
    """What people choose: a file, or a pair of them for the two experts.

    ``problem``: why it can't be used with anything; ``loras`` is empty then.
    """

    name: str
    files: tuple[AdapterFile, ...]
    loras: tuple[LoraFile, ...] = ()
    problem: AdapterError | None = None

    @property
    def bytes(self) -> int:
        return sum(lora.bytes for lora in self.loras)

    @property
    def triggers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for lora in self.loras for word in lora.triggers))

    def adapters(self, strength: float = 1.0) -> tuple[Adapter, ...]:
        """What a request holds of it."""
        return tuple(Adapter(file.sha256, strength) for file in self.files)

    def fit(self, preset: ModelPreset) -> Fit:
        """How all of it goes with ``preset``."""
        if self.problem is not None:
            return Fit(0, 0, self.problem.sentence)
        found = [fit(lora, preset) for lora in self.loras]
        bad = next((one for one in found if not one.fits), None)
        if bad is not None or len(found) == 1:
            return bad or found[0]
        matched = sum(one.matched for one in found)
        unmatched = sum(one.unmatched for one in found)
        counts = {"matched": matched, "unmatched": unmatched, "model": preset.name}
        told = Text("adapters.fits_partly", **counts) if unmatched else found[0].told
        return Fit(matched, unmatched, told)


class Adapters:
    """The folder ``home.adapters``. Any process may use it: each file's record is its own."""

    def __init__(self, home: Home) -> None:
        self._home = home

    @property
    def folder(self) -> Path:
        return self._home.adapters

    # ---- looking ---------------------------------------------------------------------------

    def entries(self) -> tuple[AdapterEntry, ...]:
        """All that is in the folder, by name; new files are hashed, a second for each gigabyte."""
        paths = self._paths()
        paired, noises = _paired(paths)
        found = [self._file(path, noises) for path in paths]
        files = {file.name: file for file in found if file is not None}
        together = {name for both in paired.values() for name in both}
        entries = [
            self._entry(name, (files[high], files[low]))
            for name, (high, low) in paired.items()
            if high in files and low in files
        ]
        alone = (file for name, file in files.items() if name not in together)
        entries += [self._entry(file.name, (file,)) for file in alone]
        return tuple(sorted(entries, key=lambda entry: entry.name.lower()))

    def for_model(self, preset: ModelPreset) -> tuple[tuple[AdapterEntry, Fit], ...]:
        """``entries``, and how each goes with ``preset``; those that do come first."""
        found = [(entry, entry.fit(preset)) for entry in self.entries()]
        return tuple(sorted(found, key=lambda pair: not pair[1].fits))

    def find(self, wanted: str) -> AdapterEntry:
        """The entry called ``wanted``: its name, that of one of its files, or the beginning of a
        SHA-256.

        Raises:
            AdapterError: there is none, or more than one.
        """
        entries = self.entries()
        name = wanted.removesuffix(ENDING)
        for same in (str.__eq__, lambda one, other: one.lower() == other.lower()):
            for entry in entries:
                if same(entry.name, name):
                    return entry
                for file in entry.files:
                    if same(file.name, name):
                        return self._entry(file.name, (file,))
        if re.fullmatch(rf"[0-9a-fA-F]{{{LEAST_HASH},64}}", wanted):
            files = [file for entry in entries for file in entry.files]
            begins = {f.sha256: f for f in files if f.sha256.startswith(wanted.lower())}
            if len(begins) == 1:
                (file,) = begins.values()
                return self._entry(file.name, (file,))
            if begins:
                told = Text("adapters.more_than_one", wanted=wanted)
                raise AdapterError(told, Text("adapters.name_more_of_it"))
        known = [entry.name for entry in entries]
        remedy = Text("adapters.choose_among", names=listed(*known[:12]))
        raise AdapterError(
            Text("adapters.none_of_that_name", wanted=wanted),
            remedy if known else Text("adapters.add_one"),
        )

    def files(self, wanted: Sequence[Adapter]) -> tuple[AdapterFile, ...]:
        """The file of each of a request's adapters.

        Raises:
            AdapterError: one isn't in the folder any more.
        """
        if not wanted:
            return ()
        paths = self._paths()
        _, noises = _paired(paths)
        known: dict[str, AdapterFile] = {}
        for hashing in (False, True):  # what somebody has just put there is seldom meant
            for path in paths:
                if hashing or self._known_hash(path):
                    file = self._file(path, noises)
                    known |= {file.sha256: file} if file else {}
            if all(adapter.sha256 in known for adapter in wanted):
                break
        for adapter in wanted:
            if adapter.sha256 not in known:
                told = Text("adapters.gone", sha256=adapter.sha256[:12])
                raise AdapterError(told, Text("adapters.put_it_back"))
        return tuple(known[adapter.sha256] for adapter in wanted)

    def known(self, wanted: Sequence[Adapter]) -> set[str]:
        """The SHA-256 of those of ``wanted`` that are here."""
        found = set()
        for adapter in wanted:
            with contextlib.suppress(AdapterError):
                found |= {file.sha256 for file in self.files([adapter])}
        return found

    def check(self, wanted: Sequence[Adapter], preset: ModelPreset) -> tuple[AdapterFile, ...]:
        """``files``, of which each fits ``preset``.

        Raises:
            AdapterError: one isn't there, is damaged, or is for another model.
        """
        files = self.files(wanted)
        for file in files:
            require(_looked_at(file.path), preset)
        return files

    # ---- changing --------------------------------------------------------------------------

    def add(self, source: Path, name: str = "") -> AdapterEntry:
        """Take ``source`` in: by a hard link where the drive has them, else as a copy.

        Args:
            name: what it is called in the folder; its own name without one.

        Returns:
            its entry; that of the file which is there already, if the bytes are the same.

        Raises:
            AdapterError: it can't be read, is no LoRA, or finds no room.
            HomeError: the folder can't be made.
        """
        lora = read_lora(source)
        folder = self._home.writable(self.folder)
        if source.resolve().parent == folder.resolve():
            return self._alone(source)
        sha256 = sha256_of(source)
        for path in self._paths():
            file = self._file(path) if path.stat().st_size == lora.bytes else None
            if file is not None and file.sha256 == sha256:
                return self._alone(path)
        target = self._free_name(name or source.name)
        try:
            self._bring(source, target, lora.bytes)
        except OSError as error:
            why = error.strerror or str(error)
            told = Text("adapters.cant_take_in", file=source, folder=folder, why=why)
            raise AdapterError(told, Text("adapters.make_room")) from error
        self.note(target, sha256)
        return self._alone(target)

    def remove(self, entry: AdapterEntry) -> None:
        """Delete its files. Clips that were made with it keep its hash.

        Raises:
            AdapterError: one can't be deleted.
        """
        for file in entry.files:
            try:
                file.path.unlink(missing_ok=True)
            except OSError as error:
                told = Text(
                    "adapters.cant_remove", file=file.path, why=error.strerror or str(error)
                )
                raise AdapterError(told, Text("adapters.close_and_retry")) from error
            self._record(file.path).unlink(missing_ok=True)

    def make_folder(self) -> None:
        """For what is about to come; raises HomeError where that can't be."""
        self._home.writable(self.folder)

    def target(self, name: str) -> Path:
        """Where a download called ``name`` goes; no file is there."""
        return self._free_name(name)

    def part(self, name: str) -> Path:
        """Where a download's bytes gather."""
        return self.folder / OURS / name

    def note(self, path: Path, sha256: str) -> None:
        """Keep that ``path`` has this hash, as it is now."""
        found = path.stat()
        check = {
            "bytes": found.st_size,
            "mtime_ns": found.st_mtime_ns,
            "ctime_ns": found.st_ctime_ns,
            "inode": found.st_ino,
            "sha256": sha256,
        }
        with contextlib.suppress(OSError):  # it can be hashed again
            write_json(self._record(path), check)

    # ---- files -----------------------------------------------------------------------------

    def _paths(self) -> list[Path]:
        try:
            there = sorted(self.folder.iterdir())
        except OSError:
            return []
        return [
            path
            for path in there
            if path.name.lower().endswith(ENDING)
            and not path.name.startswith(".")
            and os.path.isfile(path)
        ]

    def _file(self, path: Path, noises: Mapping[str, Noise] | None = None) -> AdapterFile | None:
        """None where it is gone, or can't be read."""
        try:
            sha256 = self._known_hash(path)
            if sha256 is None:
                sha256 = sha256_of(path)
                self.note(path, sha256)
        except OSError:
            return None
        return AdapterFile(path, sha256, (noises or {}).get(path.name) or noise_of(path.stem))

    def _known_hash(self, path: Path) -> str | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = path.stat()
            kept = json.loads(self._record(path).read_text(encoding="utf-8"))
            sha256 = kept.pop("sha256")
            if Check(place=str(path), good=True, **kept).is_of(path, found):
                return str(sha256)
        return None

    def _record(self, path: Path) -> Path:
        return self.folder / OURS / f"{path.name}.json"

    def _alone(self, path: Path) -> AdapterEntry:
        file = self._file(path)
        if file is None:
            told = Text("adapters.gone", sha256=path.name)
            raise AdapterError(told, Text("adapters.put_it_back"))
        return self._entry(file.name, (file,))

    def _entry(self, name: str, files: tuple[AdapterFile, ...]) -> AdapterEntry:
        try:
            return AdapterEntry(name, files, tuple(_looked_at(file.path) for file in files))
        except AdapterError as error:
            return AdapterEntry(name, files, problem=error)

    def _free_name(self, name: str) -> Path:
        """A path in the folder that no file has: ``name`` with a number where one does."""
        stem = _UNSAFE.sub("_", name)
        stem = stem[: -len(ENDING)] if stem.lower().endswith(ENDING) else stem
        stem = stem.lstrip(".").rstrip(". ")[:150] or "adapter"
        path, number = self.folder / f"{stem}{ENDING}", 2
        while os.path.lexists(path):
            path, number = self.folder / f"{stem} ({number}){ENDING}", number + 1
        return path

    def _bring(self, source: Path, target: Path, size: int) -> None:
        half = self.folder / OURS / f"{os.getpid()}.part"
        half.parent.mkdir(parents=True, exist_ok=True)
        half.unlink(missing_ok=True)
        try:
            try:
                os.link(source.resolve(), half)
            except OSError:  # another drive, or one without links
                if free_bytes(self.folder) < size + SPARE:
                    told = Text("adapters.no_room", size=FileSize(size), folder=self.folder)
                    raise AdapterError(told, Text("adapters.make_room")) from None
                shutil.copyfile(source, half)
            moves.move(half, target)
        finally:
            half.unlink(missing_ok=True)


def _paired(paths: Sequence[Path]) -> tuple[dict[str, tuple[str, str]], dict[str, Noise]]:
    """The pairs among ``paths`` by their names, and the expert that each file of one is for."""
    paired = pairs(sorted(_stem(path) for path in paths))
    sides: dict[str, Noise] = {}
    for high, low in paired.values():
        sides |= {high: "high", low: "low"}
    return paired, {p.name: sides[_stem(p)] for p in paths if _stem(p) in sides}


def _stem(path: Path) -> str:
    return path.name[: -len(ENDING)]


def _looked_at(path: Path) -> LoraFile:
    """``read_lora``, once for each state of the file."""
    try:
        found = path.stat()
    except OSError:
        return read_lora(path)  # which says what is wrong
    return _read_once(path, found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(256)
def _read_once(path: Path, _size: int, _mtime_ns: int, _inode: int) -> LoraFile:
    return read_lora(path)
