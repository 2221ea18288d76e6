"""The locks: complete for each system and Python, and in agreement with each other.

What a pip on this machine can't be asked of another system, the packages' own metadata tell.
"""

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from engine.home import PROJECT
from engine.install.lock import archive_hashed
from engine.install.packages import UV
from engine.install.plan import HASHES

GPU = PROJECT / "requirements-gpu.txt"
DIFFERENT = {"torch"}  # in the CPU's and NVIDIA's locks: what is installed here is the CPU's
LIGHTX2V = PROJECT / "requirements-lightx2v.txt"


def lines(name: str) -> list[str]:
    text = (PROJECT / name).read_text(encoding="utf-8")
    found = [line.split(" #")[0].strip() for line in text.splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def requirements(name: str) -> list[Requirement]:
    """What ``name`` asks for, and what the files that it names with -r do."""
    found: list[Requirement] = []
    for line in lines(name):
        if line.startswith("-r "):
            found += requirements(line.removeprefix("-r "))
        elif not line.startswith("-"):
            found.append(Requirement(line.partition(" --hash=")[0]))
    return found


CPYTHON = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
MACHINES = {
    "linux": {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        **CPYTHON,
    },
    "win32": {
        "sys_platform": "win32",
        "platform_system": "Windows",
        "platform_machine": "AMD64",
        "os_name": "nt",
        **CPYTHON,
    },
}


def machine(system: str, python: str = "3.12") -> dict[str, str]:
    return {**MACHINES[system], "python_version": python, "python_full_version": f"{python}.1"}


def chosen(name: str, system: str, python: str = "3.12") -> dict[str, str]:
    """What pip would install there: name to version."""
    found: dict[str, str] = {}
    for requirement in requirements(name):
        if requirement.marker is None or requirement.marker.evaluate(machine(system, python)):
            key = canonicalize_name(requirement.name)
            assert key not in found, f"{key} twice on {system}"
            found[key] = str(requirement.specifier).removeprefix("==")
    return found


def wanted_by(package: str, extras: frozenset[str], system: str, python: str) -> list[Requirement]:
    """What the installed ``package`` declares for that machine."""
    here = machine(system, python)
    found = []
    for text in metadata.requires(package) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        asked = extras | {""}
        if marker is None or any(marker.evaluate({**here, "extra": extra}) for extra in asked):
            found.append(requirement)
    return found


@pytest.mark.starts
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "win32"])
@pytest.mark.parametrize("name", ["requirements-page.txt", "requirements.txt", GPU.name])
def test_a_lock_is_complete(name: str, system: str, python: str) -> None:
    """Whatever an installed package of it declares stands in it, at a version that will do: what
    a lock leaves open, pip fills with what is newest that day (as on Windows it did colorama)."""
    here = chosen(name, system, python)
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(package, frozenset[str]()) for package in here]
    while todo:
        package, extras = todo.pop()
        try:
            wanted = wanted_by(package, extras, system, python)
        except metadata.PackageNotFoundError:
            continue  # another system's, or an NVIDIA card's
        if (package, extras) in seen or (name == GPU.name and package in DIFFERENT):
            continue
        seen.add((package, extras))
        for requirement in wanted:
            key = canonicalize_name(requirement.name)
            assert key in here, f"{package} wants {requirement}"
            assert requirement.specifier.contains(here[key], prereleases=True), (
                f"{package} wants {requirement}, {name} has {here[key]}"
            )
            todo.append((key, frozenset(requirement.extras)))
    assert len(seen) > 30


def test_the_page_alone_has_neither_torch_nor_what_computes_with_it() -> None:
    page = chosen("requirements-page.txt", "linux")
    assert not page.keys() & {"torch", "diffusers", "transformers", "accelerate", "triton"}
    assert {"gradio", "huggingface-hub", "av", "psutil", "nvidia-ml-py"} <= page.keys()


@pytest.mark.parametrize("name", ["requirements.txt", GPU.name, "requirements-test.txt"])
def test_each_package_has_one_exact_version(name: str) -> None:
    for requirement in requirements(name):
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        assert not pin.version.endswith("*"), requirement
        assert requirement.url is None, requirement


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_a_package_in_both_files_has_one_version(system: str) -> None:
    cpu, gpu = chosen("requirements.txt", system), chosen(GPU.name, system)
    differing = {name for name in cpu.keys() & gpu.keys() if cpu[name] != gpu[name]}
    # LightX2V and sglang-kernel are behind what the CPU's pipelines are tested with.
    assert differing == DIFFERENT
    assert len(cpu.keys() & gpu.keys()) > 30


def test_each_system_gets_its_torch_and_its_triton() -> None:
    linux, windows = chosen(GPU.name, "linux"), chosen(GPU.name, "win32")
    assert linux["torch"] == "2.11.0"
    assert windows["torch"] == "2.11.0+cu130"  # PyPI's for Windows would have no CUDA
    # torch 2.11 was built against Triton 3.6; Windows' port follows its version.
    assert linux["triton"] == "3.6.0"
    assert windows["triton-windows"].startswith("3.6.0.")
    assert "triton" not in windows
    assert windows["comfy-kitchen"] == linux["comfy-kitchen"]  # the only fast INT8 on Windows
    assert "sglang-kernel" in linux
    assert linux["cuda-toolkit"].startswith("13.0.")
    assert not [name for name in windows if name.startswith(("sglang", "nvidia-c", "cuda-"))]


def tags(system: str, python: str) -> set[Tag]:
    """Of the wheels that such a machine takes."""
    linux = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)]
    platforms = (
        ["win_amd64"]
        if system == "win32"
        else [*linux, "manylinux2014_x86_64", "manylinux1_x86_64"]
    )
    major, minor = map(int, python.split("."))
    return {
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), f"cp{major}{minor}", platforms),
    }


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "win32"])
def test_a_wheel_of_each_package_is_listed_with_its_hash(system: str, python: str) -> None:
    """But for torch of PyTorch's own index: set-up would install it, and has nothing to hold it
    against."""
    wheels: dict[str, set[Tag]] = {}
    for line in lines(HASHES):
        sha256, wheel = line.split()
        assert len(sha256) == 64
        name, version, _, found = parse_wheel_filename(wheel)
        wheels.setdefault(f"{name}=={version}", set()).update(found)
    here = tags(system, python)
    pins = [
        f"{name}=={version}"
        for file in ("requirements.txt", "requirements-test.txt", GPU.name)
        for name, version in chosen(file, system, python).items()
    ]
    missing = [pin for pin in [*pins, UV] if not wheels.get(pin, set()) & here]
    assert missing == (["torch==2.11.0+cu130"] if system == "win32" else [])


def test_lightx2vs_archive_gets_its_hash_where_the_locks_are_renewed() -> None:
    """With the network; set-up then takes no other archive (test_packages.py)."""
    asked: list[str] = []

    def told(url: str) -> str:
        asked.append(url)
        return str(len(asked)) * 64

    before = LIGHTX2V.read_text(encoding="utf-8")
    once = archive_hashed(before, told)
    twice = archive_hashed(once, told)
    assert once.splitlines()[-1].endswith(".zip --hash=sha256:" + "1" * 64)
    assert twice == once.replace("1" * 64, "2" * 64)
    assert asked[0] == asked[1]
    assert asked[0].startswith("https://github.com/ModelTC/LightX2V/archive/")


def test_nothing_is_built_and_lightx2v_is_one_commit() -> None:
    assert [line for line in lines(GPU.name) if line.startswith("-")] == ["--only-binary :all:"]
    (lightx2v,) = requirements(LIGHTX2V.name)
    assert lightx2v.url is not None
    commit = lightx2v.url.rpartition("/")[2].removesuffix(".zip")
    assert len(commit) == 40
    assert int(commit, 16) >> 128 == 0xF8AEE98B
    # Its own dependencies would bring a second torch: it must never stand with the others.
    assert "lightx2v" not in chosen(GPU.name, "linux")
    assert f"pip install --no-deps -r {LIGHTX2V.name}" in GPU.read_text(encoding="utf-8")
