"""The page on this GPU, over HTTP: ``python -m tests.tools.gpu.page OUT.jsonl [--parts ...]``.

A clip from a picture, a locked size tested and then made, both ends, a LoRA, a queue, a cancel, and
a worker that is killed. ``--parts clips`` is a cold clip and a warm one: what a machine of less
RAM takes, when the whole command runs in a cgroup that has no more.
"""

import argparse
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from engine.adapters.store import Adapters
from engine.commands.bench.clips import computing
from engine.home import PROJECT, Home
from engine.jobs import State
from engine.library import mp4
from engine.machine.facts import VRAM_LIMIT
from engine.machine.memory import sample_host
from engine.presets import load_presets
from engine.request import Size
from tests.tools.gpu import pretend
from tests.tools.gpu.lora import write_pair
from tests.tools.gpu.pictures import drawn
from tests.tools.gpu.rows import I2V, LARGE, OWN, PROMPT, SHORT, tell, told

PATIENCE = 300.0  # seconds for the page to answer, and for a job
QUEUED = 3
AT_WORK = ("denoise", "decode", "save")
# This machine's packages lie beside Python's own, without the diffusers that set-up brings.
START = (
    "import sys\n"
    "from engine.install import installed\n"
    "installed.engine_here = lambda: True\n"
    "import app\n"
    "sys.argv = ['app.py', *sys.argv[1:]]\n"
    "sys.exit(app.main())\n"
)


class Page:
    """A page that runs, and the client that asks it; rows go to ``out``."""

    def __init__(self, out: Path, port: int) -> None:
        from gradio_client import Client

        self.out = out
        self.client = Client(f"http://127.0.0.1:{port}", verbose=False)

    def ask(self, endpoint: str, *values: Any, **named: Any) -> Any:
        return self.client.predict(*values, api_name=f"/{endpoint}", **named)

    def tell(self, kind: str, **facts: Any) -> None:
        tell(self.out, kind, **facts)

    def order(self, size: Size, seed: int = 7, **more: Any) -> dict[str, Any]:
        from gradio_client import handle_file

        picture = handle_file(str(_picture(self.out.parent, size)))
        asked = {"prompt": PROMPT, "model": I2V, **asdict(size), "seed": seed, "image": picture}
        return {**asked, **more}

    def clip(self, size: Size, kind: str, seed: int = 7, **more: Any) -> dict[str, Any]:
        """Make it and wait; told as ``kind`` with the receipt's figures."""
        began = time.perf_counter()
        made = self.ask("generate", **self.order(size, seed, **more))
        self.tell(
            kind,
            size=[size.height, size.width, size.frames],
            seconds=round(time.perf_counter() - began, 2),
            stages=made["stages"],
            peaks=made["peaks"],
            plan={name: choice["value"] for name, choice in made["plan"].items()},
            frames=frames_of(Path(made["clip"])),
        )
        return dict(made)

    def verdict(self, size: Size) -> None:
        found = self.ask("check", model=I2V, **asdict(size))
        self.tell("verdict", size=str(size), **found)

    def job(self, number: int) -> dict[str, Any]:
        return dict(self.ask("status", number))

    def ended(self, number: int) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.job(number)
            if State(found["job"]["state"]).final:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {number}: {found}")
            time.sleep(0.02)

    def denoising(self, number: int) -> None:
        """Wait until ``number`` is within its steps, or beyond them."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.job(number)
            running, state = found["running"], State(found["job"]["state"])
            if state.final or (running and running["stage"] in AT_WORK):
                return
            time.sleep(0.02)
        raise TimeoutError(f"job {number} denoises nothing")


def pictures(page: Page) -> None:
    """One, the same again, two, and at a size that has to be tested first."""
    for size in (SHORT, OWN, LARGE):
        page.verdict(size)
    first = page.clip(OWN, "clip_cold")
    with told(page.out, "the same again"):
        again = page.clip(OWN, "clip_warm")
        same = frames_of(Path(first["clip"])) == frames_of(Path(again["clip"]))
        page.tell("page_same", same=same)
    with told(page.out, "both ends"):
        ends = str(_picture(page.out.parent, OWN, 1))
        from gradio_client import handle_file

        page.clip(OWN, "clip_ends", last_image=handle_file(ends))
    with told(page.out, f"test {LARGE}"):
        _measure(page, LARGE)
        page.verdict(LARGE)
        page.clip(LARGE, "clip_large")


def turns(page: Page) -> None:
    """What happens between clips, and to one that doesn't end by itself."""
    with told(page.out, "a queue"):
        _queue(page)
    with told(page.out, "cancel"):
        _cancel(page)
    with told(page.out, "a killed worker"):
        _killed(page)


def clips(page: Page) -> None:
    """A cold clip and a warm one, and what memory there is."""
    page.verdict(OWN)
    for kind in ("clip_cold", "clip_warm"):
        page.clip(OWN, kind)
        host = sample_host(_worker())
        page.tell("memory", total=host.total, available=host.available, worker=host.worker)


def loras(page: Page) -> None:
    """A pair of them comes, stays, and goes."""
    with told(page.out, "LoRA"):
        write_pair(load_presets().models[I2V], Adapters(Home.find()))
        for kind in ("lora_first", "lora_with"):
            page.clip(OWN, kind, loras=["pair"])
        page.clip(OWN, "lora_removed")


def _measure(page: Page, size: Size) -> None:
    """As somebody at the command line does, while the page runs."""
    sides = (text for name, side in asdict(size).items() for text in (f"--{name}", str(side)))
    command = (sys.executable, "-c", START, "measure", "--model", I2V, *sides, "--json")
    began = time.perf_counter()
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE)
    seconds = round(time.perf_counter() - began, 1)
    page.tell("page_measured", seconds=seconds, told=done.stdout[-2000:], rc=done.returncode)


def _queue(page: Page) -> None:
    """Seconds between the clips in which the GPU has nothing to do."""
    began = time.perf_counter()
    jobs = [
        page.ask("generate", **page.order(OWN, 20 + number, wait=False))["job"]
        for number in range(QUEUED)
    ]
    for number in jobs:
        page.ended(number)
    taken = time.perf_counter() - began
    own = [computing(_receipt(page, number)) for number in jobs]
    page.tell("page_queue", seconds=round(taken, 2), clips=QUEUED, computing=own)
    page.tell("page_idle", each=round((taken - sum(own)) / QUEUED, 3))


def _receipt(page: Page, job: int) -> dict[str, Any]:
    """Out of the clip that ``job`` made."""
    file = page.out.parent / f"job {job}.mp4"
    urllib.request.urlretrieve(page.job(job)["job"]["url"], file)
    return mp4.read_receipt(file)


def _cancel(page: Page) -> None:
    job = page.ask("generate", **page.order(OWN, 31, wait=False))["job"]
    page.denoising(job)
    began = time.perf_counter()
    page.ask("cancel", job)
    state = page.ended(job)["job"]["state"]
    page.tell("page_cancel", seconds=round(time.perf_counter() - began, 2), state=state)


def _killed(page: Page) -> None:
    job = page.ask("generate", **page.order(SHORT, 32, wait=False))["job"]
    page.denoising(job)
    killed = _worker()
    if killed is not None:
        os.kill(killed, signal.SIGKILL)
    ended = page.ended(job)["job"]
    page.tell("page_killed", killed=killed is not None, state=ended["state"], note=ended["note"])


def _worker() -> int | None:
    """The process that holds the weights."""
    found = (
        child
        for child in psutil.Process().children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    )
    largest = max(found, key=lambda child: child.memory_info().rss, default=None)
    return None if largest is None else largest.pid


def frames_of(clip: Path) -> str:
    """The beginning of the hash of what is seen of a clip."""
    return hashlib.sha256(mp4.read_frames(clip).tobytes()).hexdigest()[:16]


def _picture(folder: Path, size: Size, seed: int = 0) -> Path:
    file = folder / f"{size.height}x{size.width} {seed}.png"
    if not file.exists():
        Image.fromarray(drawn(size, seed)).save(file)
    return file


@contextmanager
def opened(out: Path, cap: float) -> Iterator[Page]:
    """The page of this home, on a free port, from its start to its end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    log = out.with_suffix(".page.log")
    os.environ[VRAM_LIMIT] = f"{cap:g}"  # also of a command beside the page
    command = (sys.executable, "-c", START, "serve", "--no-browser", "--port", str(port))
    with log.open("w") as file:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=PROJECT, stdout=file, stderr=subprocess.STDOUT)
        try:
            _answers(process, port)
            tell(out, "page", seconds=round(time.perf_counter() - began, 1))
            yield Page(out, port)
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            tell(out, "page_ended", rc=process.wait(), log=log.read_text()[-3000:])


def _answers(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        # It listens before it can answer.
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/config"):
            return
        time.sleep(0.1)
    raise TimeoutError("the page doesn't answer")


PARTS = {part.__name__: part for part in (clips, pictures, loras, turns)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap", type=float, default=16.0, help="GiB of VRAM")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["pictures", "loras", "turns"])
    options = parser.parse_args()
    if pretend.ON:
        pretend.stand_in()
    with told(options.out, "the page"), opened(options.out, options.cap) as page:
        for part in options.parts:
            PARTS[part](page)


if __name__ == "__main__":
    main()
