"""How far a LoRA's download from a repository is, in words between two processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.text import NOTHING, Text

Phase = Literal["none", "looking", "found", "working", "paused", "done", "failed"]
WORKING: frozenset[Phase] = frozenset({"looking", "working"})


@dataclass(frozen=True)
class PullState:
    """``what`` somebody named, and what came of it.

    ``files``: of the repository; ``done`` of ``total`` bytes are here; ``free`` bytes are left on
    the drive. ``told`` and ``remedy``: why it failed. ``sha256s``: of the files that are here now.
    """

    what: str = ""
    phase: Phase = "none"
    files: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    free: int = 0
    told: Text = NOTHING
    remedy: Text = NOTHING
    sha256s: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "told": self.told.to_json(),
            "remedy": self.remedy.to_json(),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "PullState":
        """Raises ValueError, KeyError, TypeError: it is none."""
        return cls(
            **{
                **found,
                "files": tuple(found["files"]),
                "sha256s": tuple(found["sha256s"]),
                "told": Text.from_json(found["told"]),
                "remedy": Text.from_json(found["remedy"]),
            }
        )
