"""The GPU's requirement files against the CPU's: what a pip on this machine can't be asked."""

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from engine.home import PROJECT

GPU = PROJECT / "requirements-gpu.txt"
LIGHTX2V = PROJECT / "requirements-lightx2v.txt"


def lines(name: str) -> list[str]:
    text = (PROJECT / name).read_text(encoding="utf-8")
    found = [line.split(" #")[0].strip() for line in text.splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def requirements(name: str) -> list[Requirement]:
    return [Requirement(line) for line in lines(name) if not line.startswith("-")]


MACHINES = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "win32": {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
}


def chosen(name: str, system: str) -> dict[str, str]:
    """What pip would install there: name to version."""
    found: dict[str, str] = {}
    for requirement in requirements(name):
        if requirement.marker is None or requirement.marker.evaluate(MACHINES[system]):
            key = canonicalize_name(requirement.name)
            assert key not in found, f"{key} twice on {system}"
            found[key] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("name", ["requirements.txt", GPU.name])
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
    assert differing == {"torch"}
    assert len(cpu.keys() & gpu.keys()) > 30


def test_each_system_gets_its_torch_and_its_triton() -> None:
    linux, windows = chosen(GPU.name, "linux"), chosen(GPU.name, "win32")
    assert linux["torch"] == "2.11.0"
    assert windows["torch"] == "2.11.0+cu130"  # PyPI's for Windows would have no CUDA
    # torch 2.11 was built against Triton 3.6; Windows' port follows its version.
    assert linux["triton"] == "3.6.0"
    assert windows["triton-windows"].startswith("3.6.0.")
    assert "triton" not in windows
    assert "sglang-kernel" in linux
    assert not [name for name in windows if name.startswith(("sglang", "nvidia-c", "cuda-"))]


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
