"""The doctor's look at the computer around the GPU: RAM, page file, disk, ports, sharing, video."""

import contextlib
import os
import platform
import shutil
import socket
import time
from collections.abc import Sequence
from functools import cache, reduce
from importlib import metadata
from pathlib import Path

from engine.doctor.gpu import Line
from engine.guard.budget import ram_reserve
from engine.home import Home, HomeError, drive_of
from engine.machine.facts import Machine
from engine.machine.memory import MemorySample
from engine.text import NOTHING, FileSize, Memory, Text, joined
from engine.units import GIB

CLIP_SPACE = 2 * GIB
COMMIT_SPACE = 8 * GIB
SLOW_DISK = 300e6  # bytes a second: under it, reading blocks from disk costs minutes a clip
PORT = 7860
TRIAL_BYTES, TRIAL_PART = 64 * 2**20, 4 * 2**20
TRIAL_SECONDS = 0.6  # of writing; a disk that is slower is known by then
FRPC = "0.3"  # Gradio's own version of it (gradio/tunneling.py)


def ram(sample: MemorySample, needs: Sequence[tuple[str, int]]) -> Line:
    """``needs``: what each model that can run here takes of it under its plan."""
    host, subject = sample.host, Text("doctor.ram")
    free = Text("doctor.ram_free", free=Memory(host.available), total=Memory(host.total))
    if host.available < 2 * ram_reserve(host):
        return Line(subject, "warn", free, Text("doctor.close_programs"))
    if short := [_takes(name, need) for name, need in needs if need > host.available]:
        told = Text("doctor.whole", said=in_a_row(short))
        return Line(subject, "warn", joined(free, told), Text("doctor.close_before"))
    takes = [Text("doctor.whole", said=_takes(name, need)) for name, need in needs]
    return Line(subject, "good", joined(free, *takes))


def _takes(name: str, need: int) -> Text:
    return Text("doctor.takes", model=name, need=Memory(need))


def in_a_row(parts: Sequence[Text]) -> Text:
    """Halves of a sentence, with semicolons between them."""
    return reduce(lambda before, part: Text("doctor.and", before=before, part=part), parts)


def page_file(
    sample: MemorySample, machine: Machine, needs: Sequence[tuple[str, int]]
) -> list[Line]:
    """Windows refuses allocations at its commit limit, with RAM and VRAM still free."""
    host = sample.host
    if not machine.windows or host.commit_limit is None:
        return []
    left = host.commit_limit - (host.committed or 0)
    need = max([COMMIT_SPACE, *(need for _, need in needs)])
    subject = Text("doctor.page_file")
    meaning = Text(
        "doctor.commit_left",
        left=Memory(left),
        limit=Memory(host.commit_limit),
        needed=Memory(need),
    )
    if left < need:
        return [Line(subject, "warn", meaning, Text("doctor.enlarge_page_file"))]
    return [Line(subject, "good", meaning)]


# ---- disk ----------------------------------------------------------------------------------


def disk(home: Home, streams: bool, bytes_a_step: int) -> list[Line]:
    """Space on each drive that clips, weights, cache or database lie on, and the speed of the one
    that weights are read from.

    Args:
        streams: whether a model here reads its blocks from it at every step.
        bytes_a_step: how much that is.
    """
    lines, seen, enough = [], set(), True
    for place in _places(home):
        try:
            home.check(place)
            drive = drive_of(place)
            device, free = os.stat(drive).st_dev, shutil.disk_usage(drive).free
        except HomeError as error:
            lines.append(Line(Text("doctor.disk"), "bad", error.sentence, error.remedy))
            continue
        except OSError as error:
            meaning = Text("doctor.disk_silent", folder=place, why=error.strerror or str(error))
            lines.append(Line(Text("doctor.disk"), "warn", meaning, Text("doctor.is_it_writable")))
            continue
        if device not in seen:
            seen.add(device)
            meaning = Text("doctor.disk_free", free=FileSize(free), folder=place)
            enough = enough and free >= CLIP_SPACE
            if free >= CLIP_SPACE:
                lines.append(Line(Text("doctor.disk"), "good", meaning))
            else:
                lines.append(Line(Text("doctor.disk"), "warn", meaning, Text("doctor.make_room")))
    if enough and seen:
        lines.append(_speed(write_speed(drive_of(home.weights)), streams, bytes_a_step))
    return lines


def _places(home: Home) -> list[Path]:
    """Everything that may be a link to another drive, the root first."""
    places = [home.root, home.database, home.clips, home.trash, home.cache, home.logs, home.weights]
    with contextlib.suppress(OSError):
        places += sorted(place for place in home.weights.iterdir() if os.path.islink(place))
    return places


def _speed(speed: float, streams: bool, bytes_a_step: int) -> Line:
    subject = Text("doctor.disk_speed")
    if speed <= 0:
        return Line(subject, "warn", Text("doctor.disk_untried"), Text("doctor.is_it_writable"))
    step = NOTHING
    if streams and bytes_a_step:
        step = Text("doctor.step_reads", size=FileSize(bytes_a_step), seconds=bytes_a_step / speed)
    meaning = joined(Text("doctor.disk_writes", megabytes=speed / 1e6), step)
    if speed < SLOW_DISK and streams:
        return Line(subject, "warn", meaning, Text("doctor.faster_disk"))
    return Line(subject, "good", meaning)


@cache
def write_speed(root: Path) -> float:
    """Bytes a second to the disk itself, tried once while the program runs; 0 if it can't be."""
    file, part = root / ".speed", os.urandom(TRIAL_PART)
    began, written = time.perf_counter(), 0
    try:
        with file.open("wb", buffering=0) as out:
            while written < TRIAL_BYTES and time.perf_counter() - began < TRIAL_SECONDS:
                written += out.write(part)
                os.fsync(out.fileno())  # or it would be the RAM's speed
        took = time.perf_counter() - began
    except OSError:
        return 0.0
    finally:
        with contextlib.suppress(OSError):  # on a drive that fails this does, too
            file.unlink(missing_ok=True)
    return written / took


# ---- what the page needs -------------------------------------------------------------------


def port(number: int = PORT) -> Line:
    """Whether the page's usual port is free."""
    subject = Text("doctor.port")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            meaning = Text("doctor.port_taken", port=number)
            return Line(subject, "note", meaning, Text("doctor.next_port"))
    return Line(subject, "good", Text("doctor.port_free", port=number))


def sharing(machine: Machine, cache_folder: Path) -> Line:
    """Gradio's frpc, which carries a share link.

    Args:
        cache_folder: the hub's, where Gradio puts it.
    """
    bits = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}
    kind = bits.get(machine.architecture, machine.architecture.lower())
    suffix = "_v" + FRPC
    file = cache_folder / "gradio/frpc" / f"frpc_{platform.system().lower()}_{kind}{suffix}"
    subject = Text("doctor.sharing")
    if os.path.exists(file):  # in somebody else's home it can't be looked at
        return Line(subject, "good", Text("doctor.frpc_here"))
    quarantine = Text("doctor.allow_frpc") if machine.windows else NOTHING
    return Line(subject, "note", Text("doctor.frpc_fetched"), quarantine)


def video() -> Line:
    """PyAV brings its own FFmpeg; none of the system's is used."""
    subject = Text("doctor.video")
    try:
        import av

        av.codec.Codec("libx264", "w")
    except ImportError as error:
        return Line(subject, "bad", Text("doctor.no_pyav", why=error), Text("doctor.repair"))
    except ValueError:
        return Line(subject, "bad", Text("doctor.no_h264"), Text("doctor.repair"))
    return Line(subject, "good", Text("doctor.pyav_here", version=metadata.version("av")))
