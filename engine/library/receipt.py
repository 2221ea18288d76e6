"""A receipt that came in a file is a stranger's word: checked before the library believes it.

Receipts of other versions and other models are welcome, so what isn't known is kept as it is; but
whatever the page shows has its type, and nothing is endless.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.library.mp4 import ClipError
from engine.request import (
    FIELDS,
    MORE_FIELDS,
    MOST_ADAPTERS,
    PROMPT_LIMIT,
    RANDOM_SEED,
    SEED_LIMIT,
    STRONGEST,
    Fit,
)
from engine.text import Text

MOST_BYTES = 200_000  # as JSON; a real one has about 3,000
MOST_ENTRIES = 100
MOST_PARTS = 16  # clips that one file is joined of
MOST_LEVELS = 50  # of nesting; a real one has 4. Python's JSON ends at some hundreds

Line = Annotated[str, Field(max_length=300)]
Side = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=RANDOM_SEED, lt=SEED_LIMIT)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Base64 = Annotated[str, Field(max_length=90_000)]
Number = Annotated[int | float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Adapter(_Part):
    sha256: Digest
    strength: Annotated[float, Field(ge=-STRONGEST, le=STRONGEST)] = 1.0


class _NamedAdapter(_Adapter):
    name: Line = ""


class _Request(_Part):
    prompt: Annotated[str, Field(min_length=1, max_length=PROMPT_LIMIT)]
    height: Side
    width: Side
    frames: Side
    seed: Seed
    model: Annotated[Line, Field(min_length=1)]
    image: Digest | None = None
    last_image: Digest | None = None
    fit: Fit | None = None
    after: Digest | None = None
    adapters: Annotated[list[_Adapter], Field(max_length=MOST_ADAPTERS)] | None = None
    source: Digest | None = None
    fps: Annotated[int, Field(ge=1, le=1000)] | None = None


class _Source(_Part):
    name: Line = ""
    request: _Request | None = None
    seed: Seed | None = None
    model: Line | None = None


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
    machine: Line | None = None
    stages: Annotated[dict[Line, Number], Field(max_length=MOST_ENTRIES)] = {}
    peaks: Annotated[dict[Line, Number], Field(max_length=MOST_ENTRIES)] = {}
    versions: Annotated[dict[Line, Line], Field(max_length=MOST_ENTRIES)] = {}
    frames: Side | None = None
    parts: Annotated[list[dict[str, Any]], Field(max_length=MOST_PARTS)] | None = None
    pictures: dict[Literal["image", "last_image"], Base64] | None = None
    plan: Annotated[dict[Line, _Choice], Field(max_length=MOST_ENTRIES)] = {}
    adapters: Annotated[list[_NamedAdapter], Field(max_length=MOST_ADAPTERS)] | None = None
    source: _Source | None = None
    between: Line | None = None


def checked(raw: Mapping[str, Any], file: str) -> dict[str, Any]:
    """``raw`` with every part in its type, JSON-ready.

    Raises:
        ClipError: it isn't what a Headroom writes.
    """
    try:
        _refuse_deep(raw, MOST_LEVELS)
        receipt = _Receipt.model_validate(dict(raw)).model_dump()
        for name in ("frames", "parts", "pictures", "adapters", "machine", "source", "between"):
            if receipt[name] is None:
                del receipt[name]
        receipt["request"] = _given(receipt["request"])
        if "source" in receipt:
            receipt["source"] = _given(receipt["source"])
            if "request" in receipt["source"]:
                receipt["source"]["request"] = _given(receipt["source"]["request"])
        text = json.dumps(dict(raw), ensure_ascii=False, allow_nan=False)
        if len(text.encode()) <= MOST_BYTES:
            return receipt
        what = Text("library.far_too_long")
    except ValidationError as error:
        what = _what_is_wrong(error)
    except RecursionError:
        what = Text("library.too_deep")
    except ValueError:  # not a number, half a character
        what = Text("library.no_file_keeps_it")
    damaged = Text("library.receipt_damaged", file=file, reason=what)
    raise ClipError(damaged, Text("library.use_ours"))


def joined_receipt(
    receipt: Mapping[str, Any], before: Mapping[str, Any], frames: int
) -> dict[str, Any]:
    """``receipt`` of a clip that goes on from one with the receipt ``before``: its file has so many
    ``frames``, and in ``parts`` the receipts of all that it is joined of, the first one first."""
    earlier = before.get("parts") or [before]
    parts = [{k: v for k, v in part.items() if k != "pictures"} for part in (*earlier, receipt)]
    return {**receipt, "frames": frames, "parts": parts[-MOST_PARTS:]}


def for_others(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """What of a receipt somebody else than the owner gets: how to make the clip again, and nothing
    of the computer that made it."""
    kept = {name: receipt[name] for name in ("request", "seed", "model")}
    if receipt.get("source"):  # the name of a file says something of its computer
        kept["source"] = {**receipt["source"], "name": ""}
    if "parts" in receipt:
        kept |= {"frames": receipt["frames"], "parts": [for_others(p) for p in receipt["parts"]]}
    return kept


def _given(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value is not None}


def _what_is_wrong(error: ValidationError) -> Text:
    first = error.errors()[0]
    where = ".".join(str(part)[:40] for part in first["loc"])
    if not where:
        return Text("library.whole_wrong")
    if first["type"] == "missing":
        return Text("library.field_missing", field=where)
    return Text("library.field_wrong", field=where)


def _refuse_deep(value: object, levels: int) -> None:
    """Raises RecursionError where ``value`` is nested further: how deep JSON itself may go differs
    with Python's version, and with who calls it."""
    inner: Iterable[object] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    if inner and not levels:
        raise RecursionError
    for part in inner:
        _refuse_deep(part, levels - 1)


def asked_again(receipt: Mapping[str, Any]) -> dict[str, object]:
    """The request in a ``checked`` receipt with the seed that made the clip; still untrusted. Of
    another version of a clip that of the clip itself.

    Raises:
        ClipError: it is a version of another program's video.
    """
    made = receipt
    if receipt["request"].get("source"):
        made = receipt.get("source") or {}
        if made.get("request") is None or made.get("seed") is None:
            raise ClipError(Text("library.of_a_video"), Text("library.nothing_to_use"))
    request = made["request"]
    asked = {name: request[name] for name in (*FIELDS, *MORE_FIELDS) if name in request}
    return asked | {"seed": made["seed"]}


def receipt_lines(receipt: dict[str, Any]) -> list[str]:
    """A receipt for a person to read; one that others got (``for_others``) has fewer lines."""
    request = receipt["request"]
    label = f" ({receipt['label']})" if receipt["label"] else ""
    lines = {
        "prompt": request["prompt"],
        "size": f"{request['width']} × {request['height']}, {request['frames']} frames",
        "fps": request.get("fps", ""),
        "source": (receipt.get("source") or {}).get("name", ""),
        "seed": receipt["seed"],
        "model": f"{receipt['model']}{label}",
        "between": receipt.get("between", ""),
        "seconds": ", ".join(f"{name} {s:.2f} s" for name, s in receipt["stages"].items()),
        "peaks": ", ".join(f"{name} {b / 2**20:.0f} MiB" for name, b in receipt["peaks"].items()),
        "loras": ", ".join(map(_lora, receipt.get("adapters", []))),
        "device": receipt["device"],
        "machine": receipt.get("machine", ""),
        "versions": ", ".join(f"{name} {v}" for name, v in receipt["versions"].items()),
    }
    return [f"{name:8} {said}" for name, said in lines.items() if said != ""]


def _lora(adapter: Mapping[str, Any]) -> str:
    return f"{adapter['name'] or adapter['sha256'][:12]} × {adapter['strength']:g}"
