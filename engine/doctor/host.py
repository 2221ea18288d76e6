"""The doctor's look at the computer around the GPU: RAM, page file, disk, ports, sharing, video."""

import os
import platform
import shutil
import socket
import time
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from engine.doctor.gpu import Line
from engine.guard.budget import RAM_RESERVE
from engine.machine.facts import Machine
from engine.machine.memory import MemorySample
from engine.units import GIB, gigabytes, size_text

CLIP_SPACE = 2 * GIB
COMMIT_SPACE = 8 * GIB
SLOW_DISK = 300e6  # bytes a second: under it, reading blocks from disk costs minutes a clip
PORT = 7860
TRIAL_BYTES, TRIAL_PART = 64 * 2**20, 4 * 2**20
TRIAL_SECONDS = 0.6  # of writing; a disk that is slower is known by then
FRPC = "0.3"  # Gradio's own version of it (gradio/tunneling.py)


def ram(sample: MemorySample, needs: Sequence[tuple[str, int]]) -> Line:
    """``needs``: what each model that can run here takes of it under its plan."""
    host = sample.host
    text = f"{gigabytes(host.available)} of {gigabytes(host.total)} are free."
    short = [f"{name} takes {gigabytes(need)}" for name, need in needs if need > host.available]
    if host.available < 2 * RAM_RESERVE:
        return Line("RAM", "warn", text, "Close programs that you don't need.")
    if short:
        remedy = "Close programs before you use it; the plan is made for the RAM in all."
        return Line("RAM", "warn", f"{text} {'; '.join(short)}.", remedy)
    told = "".join(f" {name} takes {gigabytes(need)}." for name, need in needs)
    return Line("RAM", "good", f"{text}{told}")


def page_file(
    sample: MemorySample, machine: Machine, needs: Sequence[tuple[str, int]]
) -> list[Line]:
    """Windows refuses allocations at its commit limit, with RAM and VRAM still free."""
    host = sample.host
    if not machine.windows or host.commit_limit is None:
        return []
    left = host.commit_limit - (host.committed or 0)
    need = max([COMMIT_SPACE, *(need for _, need in needs)])
    text = (
        f"{gigabytes(left)} of the commit limit {gigabytes(host.commit_limit)} are left; "
        f"{gigabytes(need)} are needed."
    )
    if left < need:
        remedy = (
            "Let Windows manage the page file's size (System, Advanced, Performance, Virtual "
            "memory), or make it larger."
        )
        return [Line("Page file", "warn", text, remedy)]
    return [Line("Page file", "good", text)]


# ---- disk ----------------------------------------------------------------------------------


def disk(root: Path, streams: bool, bytes_a_step: int) -> list[Line]:
    """Space and speed where clips and weights are kept.

    Args:
        streams: whether a model here reads its blocks from it at every step.
        bytes_a_step: how much that is.
    """
    free = shutil.disk_usage(root).free
    text = f"{size_text(free)} are free where clips and weights are kept ({root})."
    if free < CLIP_SPACE:
        remedy = "Make room, or set HEADROOM_HOME to another disk."
        return [Line("Disk", "warn", text, remedy)]
    return [Line("Disk", "good", text), _speed(write_speed(root), streams, bytes_a_step)]


def _speed(speed: float, streams: bool, bytes_a_step: int) -> Line:
    if speed <= 0:
        return Line("Disk speed", "warn", "It could not be tried.", "Is the folder writable?")
    text = f"It writes {speed / 1e6:,.0f} MB/s; reading is seldom slower."
    if streams and bytes_a_step:
        text += f" Each step reads {size_text(bytes_a_step)}: {bytes_a_step / speed:.0f} s or less."
    if speed < SLOW_DISK and streams:
        remedy = "Set HEADROOM_HOME to an SSD, or put more RAM into the machine."
        return Line("Disk speed", "warn", text, remedy)
    return Line("Disk speed", "good", text)


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
        file.unlink(missing_ok=True)
    return written / took


# ---- what the page needs -------------------------------------------------------------------


def port(number: int = PORT) -> Line:
    """Whether the page's usual port is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            text = f"{number} is taken, by an open page of Headroom or another program."
            return Line(
                "Port", "good", text, "The page takes the next free one, or --port names it."
            )
    return Line("Port", "good", f"{number} is free for the page.")


def sharing(machine: Machine, cache_folder: Path) -> Line:
    """Gradio's frpc, which carries a share link.

    Args:
        cache_folder: the hub's, where Gradio puts it.
    """
    bits = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}
    kind = bits.get(machine.architecture, machine.architecture.lower())
    suffix = "_v" + FRPC
    file = cache_folder / "gradio/frpc" / f"frpc_{platform.system().lower()}_{kind}{suffix}"
    if file.exists():
        return Line("Sharing", "good", "The program that --share needs (frpc) is here.")
    quarantine = (
        " Windows Defender often removes it: then allow it there, or share through a tunnel of "
        "your own."
        if machine.windows
        else ""
    )
    text = "--share fetches the program that it needs (frpc) the first time."
    return Line("Sharing", "good", text, quarantine.strip())


def video() -> Line:
    """PyAV brings its own FFmpeg; none of the system's is used."""
    try:
        import av

        av.codec.Codec("libx264", "w")
    except ImportError as error:
        return Line("Video", "bad", f"PyAV can't be loaded: {error}.", "Run set-up with --repair.")
    except ValueError:
        text = "This build of PyAV can't write H.264, so no clip can be kept."
        return Line("Video", "bad", text, "Run set-up with --repair.")
    return Line("Video", "good", f"PyAV {metadata.version('av')} writes H.264; no ffmpeg needed.")
