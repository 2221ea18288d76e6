"""Computers as set-up sees them: what it decides by, made up."""

from dataclasses import replace

from engine.install.facts import CardFacts, Facts
from engine.install.plan import GIB


def card(name: str, capability: tuple[int, int] | None, gib: float) -> tuple[CardFacts, ...]:
    return (CardFacts(f"NVIDIA GeForce {name}", capability, round(gib * GIB)),)


LINUX = Facts(
    system="linux",
    architecture="x86_64",
    python=(3, 12, 3),
    ram=round(31.2 * GIB),
    free=200 * GIB,
    driver="581.57",
    cards=card("RTX 4060 Ti", (8, 9), 16.0),
    compiler=True,
)
WINDOWS = replace(LINUX, system="windows")
NO_GPU = replace(LINUX, driver="", cards=(), silence="No NVIDIA driver is installed.")
