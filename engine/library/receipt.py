"""A receipt that came in a file is a stranger's word: checked before the library believes it.

Receipts of other versions and other models are welcome, so what isn't known is kept as it is; but
whatever the page shows has its type, and nothing is endless.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.library.mp4 import ClipError
from engine.request import PROMPT_LIMIT, RANDOM_SEED, SEED_LIMIT
from engine.text import Text

MOST_BYTES = 200_000  # as JSON; a real one has about 3,000
MOST_ENTRIES = 100

Line = Annotated[str, Field(max_length=300)]
Side = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=RANDOM_SEED, lt=SEED_LIMIT)]
Number = Annotated[int | float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Request(_Part):
    prompt: Annotated[str, Field(min_length=1, max_length=PROMPT_LIMIT)]
    height: Side
    width: Side
    frames: Side
    seed: Seed
    model: Annotated[Line, Field(min_length=1)]


class _Choice(_Part):
    value: Line | int | float | bool
    reason: Annotated[str, Field(max_length=5000)] = ""


class _Receipt(_Part):
    model_config = ConfigDict(strict=True, extra="allow")

    request: _Request
    seed: Seed
    model: Line
    label: Line = ""
    device: Line = ""
    stages: Annotated[dict[Line, Number], Field(max_length=MOST_ENTRIES)] = {}
    peaks: Annotated[dict[Line, Number], Field(max_length=MOST_ENTRIES)] = {}
    versions: Annotated[dict[Line, Line], Field(max_length=MOST_ENTRIES)] = {}
    plan: Annotated[dict[Line, _Choice], Field(max_length=MOST_ENTRIES)] = {}


def checked(raw: Mapping[str, Any], file: str) -> dict[str, Any]:
    """``raw`` with every part in its type, JSON-ready.

    Raises:
        ClipError: it isn't what a Headroom writes.
    """
    try:
        receipt = _Receipt.model_validate(dict(raw)).model_dump()
        text = json.dumps(receipt, ensure_ascii=False, allow_nan=False)
        if len(text.encode()) <= MOST_BYTES:
            return receipt
        what = Text("library.far_too_long")
    except ValidationError as error:
        where = ".".join(str(part)[:40] for part in error.errors()[0]["loc"])
        what = Text("library.field_wrong", field=where) if where else Text("library.whole_wrong")
    except (ValueError, RecursionError):  # not a number, half a character, nested without end
        what = Text("library.no_file_keeps_it")
    damaged = Text("library.receipt_damaged", file=file, reason=what)
    raise ClipError(damaged, Text("library.use_ours"))


def for_others(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """What of a receipt somebody else than the owner gets: how to make the clip again, and nothing
    of the computer that made it."""
    return {name: receipt[name] for name in ("request", "seed", "model")}


def asked_again(receipt: Mapping[str, Any]) -> dict[str, object]:
    """The request in a ``checked`` receipt with the seed that made the clip; still untrusted."""
    return {**receipt["request"], "seed": receipt["seed"]}


def receipt_lines(receipt: dict[str, Any]) -> list[str]:
    """A receipt for a person to read."""
    request = receipt["request"]
    stages = ", ".join(f"{name} {s:.2f} s" for name, s in receipt["stages"].items())
    peaks = ", ".join(f"{name} {b / 2**20:.0f} MiB" for name, b in receipt["peaks"].items())
    return [
        f"prompt   {request['prompt']}",
        f"size     {request['width']} × {request['height']}, {request['frames']} frames",
        f"seed     {receipt['seed']}",
        f"model    {receipt['model']} ({receipt['label']})",
        f"seconds  {stages}",
        f"peaks    {peaks}",
        f"device   {receipt['device']}",
        "versions " + ", ".join(f"{name} {v}" for name, v in receipt["versions"].items()),
    ]
