"""Whether a LoRA is for a model: each change against the shape that the model's tensor has."""

import math
from dataclasses import dataclass

from engine.adapters.lora_file import AdapterError, Change, LoraFile
from engine.presets import LATENT_CHANNELS, Architecture, ModelPreset
from engine.text import NOTHING, Text
from engine.weights.header_check import PATCH

# What a token becomes: its patch, in every channel of the latent.
HEAD = LATENT_CHANNELS * math.prod(PATCH)
# By the width of a token, which no two of them share.
_OTHERS = {1536: "Wan 2.1 1.3B", 3072: "Wan 2.2 5B", 5120: "Wan 14B"}


@dataclass(frozen=True)
class Fit:
    """``matched`` and ``unmatched`` layers of a file; ``told``: why it doesn't fit, or what of it
    is left out."""

    matched: int
    unmatched: int
    told: Text = NOTHING

    @property
    def fits(self) -> bool:
        return self.matched > 0


def fit(lora: LoraFile, preset: ModelPreset) -> Fit:
    """How ``lora`` goes with ``preset``."""
    if not preset.adapters or preset.architecture is None:
        return Fit(0, len(lora.changes), Text("request.takes_no_adapters", model=preset.name))
    differs: list[tuple[Change, tuple[int, ...]]] = []
    matched = unmatched = 0
    for change in lora.changes:
        wanted = shape_of(change.tensor, preset.architecture, preset.channels)
        if change.noise == "low" and preset.experts == 1:
            wanted = None  # there is no second transformer
        if wanted is not None and _same(change, wanted):
            matched += 1
            continue
        unmatched += 1
        if wanted is not None:
            differs.append((change, wanted))
    unmatched += len(lora.unknown)
    if not matched:
        return Fit(0, unmatched, _reason(lora, preset, differs))
    if unmatched:
        counts = {"matched": matched, "unmatched": unmatched, "model": preset.name}
        return Fit(matched, unmatched, Text("adapters.fits_partly", **counts))
    return Fit(matched, 0)


def require(lora: LoraFile, preset: ModelPreset) -> Fit:
    """``fit``, of a file that does.

    Raises:
        AdapterError: it is for another model; says which shape differs.
    """
    found = fit(lora, preset)
    if not found.fits:
        told = Text("adapters.doesnt_fit", file=lora.path.name, reason=found.told)
        raise AdapterError(told, Text("adapters.choose_for_model", model=preset.name))
    return found


def shape_of(tensor: str, shape: Architecture, channels: int) -> tuple[int, ...] | None:
    """The shape that ``tensor`` has in a checkpoint; None where there is none of the name."""
    name, _, kind = tensor.rpartition(".")
    if name.startswith("blocks."):
        _, number, part = (*name.split(".", 2), "")[:3]
        return _in_block(part, kind, shape) if int(number) < shape.layers else None
    dim = shape.dim
    weights: dict[str, tuple[int, ...]] = {
        "patch_embedding": (dim, channels, *PATCH),
        "text_embedding.0": (dim, shape.text_dim),
        "text_embedding.2": (dim, dim),
        "time_embedding.0": (dim, shape.freq_dim),
        "time_embedding.2": (dim, dim),
        "time_projection.1": (6 * dim, dim),
        "head.head": (HEAD, dim),
    }
    if (name, kind) == ("head", "modulation"):
        return 1, 2, dim
    return _kind(weights.get(name), kind)


def _in_block(part: str, kind: str, shape: Architecture) -> tuple[int, ...] | None:
    dim, inner = shape.dim, shape.ffn_dim
    if not part:
        return (1, 6, dim) if kind == "modulation" else None
    if part == "norm3":
        return (dim,)
    attention, _, layer = part.partition(".")
    if attention == "ffn":
        return _kind({"0": (inner, dim), "2": (dim, inner)}.get(layer), kind)
    if layer in ("norm_q", "norm_k"):
        return (dim,) if kind == "weight" else None
    return _kind((dim, dim) if layer in tuple("qkvo") else None, kind)


def _kind(weight: tuple[int, ...] | None, kind: str) -> tuple[int, ...] | None:
    """Of a layer with this ``weight`` the shape of its ``kind``."""
    if weight is None or kind == "weight":
        return weight
    return weight[:1] if kind == "bias" else None


def _same(change: Change, wanted: tuple[int, ...]) -> bool:
    if change.diff is not None:  # modulations have sides of one
        return math.prod(change.shape) == math.prod(wanted) and change.shape[-1:] == wanted[-1:]
    return change.shape == (wanted[0], math.prod(wanted[1:]))


def _reason(
    lora: LoraFile, preset: ModelPreset, differs: list[tuple[Change, tuple[int, ...]]]
) -> Text:
    if not differs:
        return Text("adapters.no_such_layers", model=preset.name, layers=lora.changes[0].tensor)
    # A product of dim × dim says more than a feed-forward layer or a norm.
    first, wanted = min(differs, key=lambda pair: (not pair[0].rank, max(pair[0].shape)))
    told = {
        "layer": first.tensor.removesuffix(".weight"),
        "theirs": " × ".join(map(str, first.shape)),
        "ours": " × ".join(map(str, wanted)),
        "model": preset.name,
    }
    other = _OTHERS.get(min(first.shape))
    if other is not None and other != _OTHERS.get(min(wanted)):
        return Text("adapters.shape_of_another", other=other, **told)
    return Text("adapters.shape_differs", **told)
