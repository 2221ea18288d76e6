"""Renews the locks, in an environment that set-up made.

``python -m engine.install.lock [--upgrade]``.

What a file asks for stands above "What those bring along"; uv resolves the rest for Linux, Windows
and every supported Python at once. The NVIDIA file takes over the versions that it shares. Then
each wheel of these versions is listed with its hash.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from engine.home import PROJECT
from engine.install.packages import UV
from engine.install.plan import ENGINE, GPU, HASHES, LANES, LIGHTX2V, PAGE, TESTS
from engine.process.console import say

BROUGHT = "# What those bring along."
OLDEST = "3.11"
PYTHONS = ("cp311", "cp312", "cp313", "py3")
SYSTEMS = r"^(manylinux|musllinux).*_(x86_64|aarch64)$|^win_(amd64|arm64)$|^macosx"
HASHED = "Each wheel that set-up may install, written by engine/install/lock.py (docs/install.md)."
# torch stays where it is: another one is another GPU build, LightX2V's limit and 2 GB. Its own
# dependencies without CUDA's, which only PyPI's build for Linux names.
FIXED = {"torch", "setuptools"}
TORCH_NEEDS = (
    "filelock",
    "typing-extensions>=4.10.0",
    "setuptools>=77.0.3",
    "sympy>=1.13.3",
    "networkx>=2.5.1",
    "jinja2",
    "fsspec>=0.8.5",
)


# Where the locks are used.
MACHINES = tuple(
    {
        **system,
        "python_version": python,
        "python_full_version": f"{python}.1",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for python in ("3.11", "3.12", "3.13")
    for system in (
        {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
        {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
        {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
    )
)


def renewed(text: str, resolved: Mapping[str, str], without: frozenset[str]) -> str:
    """A file's ``text`` with the versions of ``resolved``, by canonical name.

    Args:
        resolved: whole requirement lines.
        without: names that another file brings.
    """
    head, mark, tail = text.partition(BROUGHT)
    here = {_name(line): line for line in (head + tail).splitlines() if _name(line)}

    def line(name: str) -> str:
        """As it stands where its version does."""
        old, new = here.get(name), resolved[name]
        if old is not None and Requirement(_bare(old)).specifier == Requirement(new).specifier:
            return old
        return new

    lines, asked = [], set()
    for found in head.splitlines():
        name = _name(found)
        asked.add(name)
        lines.append(line(name) if name in resolved else found)
    rest = [line(name) for name in resolved if name not in asked | without]
    return "\n".join([*lines, mark, *sorted(rest, key=str.lower)]) + "\n"


def shared(text: str, resolved: Mapping[str, str]) -> str:
    """The NVIDIA file's ``text`` with the versions that it has in common with ``resolved``."""

    def line(found: str) -> str:
        name = _name(found)
        if name in FIXED or name not in resolved:
            return found
        version = next(iter(Requirement(resolved[name]).specifier)).version
        return re.sub(r"==[^\s;#]+", f"=={version}", found, count=1)

    return "\n".join(line(found) for found in text.splitlines()) + "\n"


def _bare(line: str) -> str:
    return line.partition(" #")[0].partition(" --hash=")[0].strip()


def _name(line: str) -> str:
    """Canonical; "" for a line that asks for nothing."""
    text = _bare(line)
    if not text or text.startswith(("#", "-")):
        return ""
    return canonicalize_name(Requirement(text).name)


def asked(text: str, upgrade: bool) -> list[str]:
    """The lines above the mark, without their versions where those may move."""
    lines = [_bare(line) for line in text.partition(BROUGHT)[0].splitlines()]
    wanted = [line for line in lines if _name(line)]
    if not upgrade:
        return wanted
    return [line if _name(line) in FIXED else Requirement(line).name for line in wanted]


def resolve(wanted: Sequence[str], constraints: Sequence[str]) -> dict[str, str]:
    """Whole lines by canonical name, for every supported system and Python.

    Raises:
        SystemExit: uv is missing, or there is no solution; uv said why.
    """
    torch = next((line for line in wanted if _name(line) == "torch"), "torch==0")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "in.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
        (place / "constraints.txt").write_text("\n".join(constraints) + "\n", encoding="utf-8")
        known = f'name = "torch", version = {json.dumps(torch.partition("==")[2])}, '
        (place / "uv.toml").write_text(
            f"dependency-metadata = [{{ {known}requires-dist = {json.dumps(TORCH_NEEDS)} }}]\n",
            encoding="utf-8",
        )
        told = compiled(place, "--config-file", "uv.toml", "--no-annotate", "-c", "constraints.txt")
    lines = [line.strip() for line in told.splitlines() if _name(line)]
    plain = {_name(line): _plain(line) for line in lines}
    return {name: line for name, line in plain.items() if line}


def compiled(place: Path, *options: str) -> str:
    """What uv makes of ``in.txt`` in the folder ``place``.

    Raises:
        SystemExit: nothing; it said why. Or there is no uv.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise SystemExit("uv is missing: run this with .venv's Python, where set-up put it.")
    command = [
        uv,
        "pip",
        "compile",
        "--universal",
        "--quiet",
        "--python-version",
        OLDEST,
        "--no-header",
        *options,
        "in.txt",
    ]
    done = subprocess.run(command, cwd=place, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    return done.stdout


def wheels(text: str) -> dict[str, str]:
    """Each wheel of what a file's ``text`` names, with its SHA-256, as the index gives them.

    Not of torch's builds from PyTorch's index, which not everybody reaches who renews the locks.
    """
    lines = [_bare(line) for line in text.splitlines() if _name(line)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.txt").write_text(
            "".join(f"{line}\n" for line in lines if "+" not in line), encoding="utf-8"
        )
        told = tomllib.loads(compiled(Path(folder), "--no-deps", "--format", "pylock.toml"))
    found = {}
    for package in told["packages"]:
        for wheel in package.get("wheels", ()):
            name = unquote(wheel.get("name") or wheel["url"].rpartition("/")[2])
            if fits(name):
                found[name] = wheel["hashes"]["sha256"]
    return found


def fits(wheel: str) -> bool:
    """Whether one of the supported Pythons takes it on 64-bit Linux, Windows or macOS."""
    return any(
        (tag.interpreter in PYTHONS or (tag.abi == "abi3" and int(tag.interpreter[3:]) <= 13))
        and tag.abi in ("none", "abi3", tag.interpreter)
        and (tag.platform == "any" or re.search(SYSTEMS, tag.platform) is not None)
        for tag in parse_wheel_filename(wheel)[3]
    )


def listing(found: Mapping[str, str]) -> str:
    """As sha256sum writes it."""
    lines = [f"{found[name]}  {name}" for name in sorted(found, key=str.lower)]
    return "\n".join([f"# {HASHED}", *lines]) + "\n"


def archive_hashed(text: str, sha256_of: Callable[[str], str]) -> str:
    """LightX2V's file with the SHA-256 of the archive that it names."""

    def line(found: str) -> str:
        if not _name(found):
            return found
        bare = found.partition(" --hash=")[0].rstrip()
        return f"{bare} --hash=sha256:{sha256_of(Requirement(bare).url or '')}"

    return "\n".join(line(found) for found in text.splitlines()) + "\n"


def sha256_of(url: str) -> str:
    """Of what ``url`` gives. Raises OSError: it can't be reached."""
    found = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60) as answer:
        while data := answer.read(1 << 20):
            found.update(data)
    return found.hexdigest()


def _plain(line: str) -> str:
    """As the files write it: without a word about systems that nobody runs this on; "" for a
    package that only those have."""
    requirement = Requirement(line)
    name = f"{requirement.name}{requirement.specifier}"
    marker = requirement.marker
    if marker is None:
        return name
    here = [marker.evaluate(dict(machine)) for machine in MACHINES]
    if not any(here):
        return ""
    text = str(marker).replace("python_full_version", "python_version")
    return name if all(here) else f"{name}; {text}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.install.lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="move what is asked for, too")
    upgrade = parser.parse_args(arguments).upgrade
    read = {
        name: (PROJECT / name).read_text(encoding="utf-8") for name in (PAGE, ENGINE, LANES, TESTS)
    }
    every: dict[str, str] = {}
    for name, text in read.items():
        before = frozenset(every)
        # Without --upgrade nothing moves that needn't.
        kept = [] if upgrade else [_bare(line) for line in text.splitlines() if _name(line)]
        found = resolve(asked(text, upgrade), [*every.values(), *kept])
        every |= {key: line for key, line in found.items() if key not in every}
        (PROJECT / name).write_text(renewed(text, found, before), encoding="utf-8")
        say(f"{name}: {len(found)} packages")
    gpu = PROJECT / GPU
    gpu.write_text(shared(gpu.read_text(encoding="utf-8"), every), encoding="utf-8")
    texts = [(PROJECT / name).read_text(encoding="utf-8") for name in (*read, GPU)]
    found_wheels = {name: sha for text in [*texts, UV] for name, sha in wheels(text).items()}
    (PROJECT / HASHES).write_text(listing(found_wheels), encoding="utf-8")
    say(f"{HASHES}: {len(found_wheels)} wheels")
    lightx2v = PROJECT / LIGHTX2V
    try:
        told = archive_hashed(lightx2v.read_text(encoding="utf-8"), sha256_of)
        lightx2v.write_text(told, encoding="utf-8")
        say(f"{LIGHTX2V}: the archive's hash")
    except OSError as error:
        say(f"{LIGHTX2V} stays as it is, for its archive can't be reached: {error}")
    say(
        "Now run the tests: tests/engine/install/test_locks.py says whether the files are complete."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
