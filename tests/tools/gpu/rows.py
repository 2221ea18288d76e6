"""What is measured, and the file of JSON lines that it goes to. No torch: a supervisor's process
uses it too."""

import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.request import Size
from tests.tools.gpu import pretend

# HEADROOM_GPU_MODEL: another one of the 14B's precisions, with --choices that go with it.
MODEL = pretend.MODEL if pretend.ON else os.environ.get("HEADROOM_GPU_MODEL", "wan2.1-t2v-14b-fp8")
# Its model that begins with a picture, of the same precision.
I2V = pretend.I2V if pretend.ON else f"wan2.2-i2v-a14b-{MODEL.rpartition('-')[2]}"
PROMPT = "a red ball moves left over green grass"


def sizes(*texts: str) -> list[Size]:
    """ "480x832x81" is height, width, frames."""
    found = [Size(*(int(part) for part in text.split("x"))) for text in texts]
    return [pretend.size(size) for size in found] if pretend.ON else found


GRID = sizes(
    "480x832x17",
    "480x832x33",
    "480x832x49",
    "480x832x81",
    "480x832x121",
    "832x480x81",
    "544x960x33",
    "544x960x81",
    "544x960x121",
    "960x544x81",
    "720x1280x17",
    "720x1280x33",
    "720x1280x49",
    "1280x720x49",
    "720x1280x81",
    "720x1280x121",
)
POINTS = sizes("480x832x33", "480x832x81", "720x1280x49", "720x1280x81")
OWN, LARGE, SHORT, WIDE = sizes("480x832x81", "720x1280x81", "480x832x17", "544x960x17")


def tell(out: Path, kind: str, **facts: Any) -> None:
    """Append a row to ``out``, and show its beginning."""
    with out.open("a") as file:
        file.write(json.dumps({"kind": kind, **facts}, default=str) + "\n")
    shown = {name: fact for name, fact in facts.items() if name != "choices"}
    print(json.dumps({"kind": kind, **shown}, default=str)[:300], flush=True)  # noqa: T201


@contextmanager
def told(out: Path, what: str) -> Iterator[None]:
    """What goes wrong within is a row, and no end of the tasks that follow."""
    began = time.perf_counter()
    failed = ""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        failed = f"{type(error).__name__}: {error}"[:500]
    tell(out, "task", name=what, seconds=round(time.perf_counter() - began, 1), failed=failed)
