"""The models we drive and the sizes the page offers: the schema of presets/*.yaml."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from engine.home import PROJECT
from engine.preset_file import PresetError, Strict, read

DEFAULT_MODEL = "wan-tiny"

Precision = Literal["fp8", "int8", "bf16"]
FamilyName = Literal["wan-tiny", "wan2.1", "wan2.2", "smooth", "rife", "seedvr", "scripted"]
# "i2v" also ends with a picture where the request has a last one; the last two change a clip.
Task = Literal["t2v", "i2v", "smooth", "enlarge"]
Input = Literal["prompt", "image", "last_image", "adapters"]
# What a preset has to say: LightX2V finds out what is missing only after it read 20 GB, or never.
_OF_WAN = ("precision", "architecture", "weights", "denoising_steps")
NEEDS: Mapping[FamilyName, tuple[str, ...]] = {
    "wan2.1": _OF_WAN,
    "wan2.2": (*_OF_WAN, "boundary_step"),
    "rife": ("weights",),
    "seedvr": ("weights",),
}
SAMPLED = ("fps", "steps", "guidance", "shift")  # what every model that makes clips has to say
# Presets of 0.1.0 named what drives the model.
_FAMILY_OF = {"wan_tiny": "wan-tiny", "lightx2v": "wan2.1", "scripted": "scripted"}
# "transformer_2" is the expert of the later steps, where there are two.
Role = Literal[
    "transformer", "transformer_2", "text_encoder", "tokenizer", "vae", "tiny_vae", "interpolator"
]
ROLES: tuple[Role, ...] = get_args(Role)
# What a family's models are made of; of two experts each is one more.
_WANS: tuple[Role, ...] = ("transformer", "text_encoder", "tokenizer", "vae")
PARTS: Mapping[FamilyName, tuple[Role, ...]] = {
    "rife": ("interpolator",),
    "seedvr": ("transformer", "vae"),
}
OPTIONAL: frozenset[Role] = frozenset({"tiny_vae"})  # clips are made without them, too
TRANSFORMERS: tuple[Role, ...] = ("transformer", "transformer_2")
LATENT_CHANNELS = 16  # of Wan's VAE
MASK_CHANNELS = 4  # frames of a latent one: which of them a picture gives


class Range(Strict):
    """Inclusive bounds."""

    min: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class Limits(Strict):
    """What the model can be asked for, in pixels and frames."""

    height: Range
    width: Range
    frames: Range


class Shape(Strict):
    """A size written in a preset: multiples of 16 pixels, 4k+1 frames."""

    height: Annotated[int, Field(ge=16, multiple_of=16)]
    width: Annotated[int, Field(ge=16, multiple_of=16)]
    frames: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _four_k_plus_one(self) -> "Shape":
        if self.frames % 4 != 1:
            raise ValueError(f"frames {self.frames} isn't of the form 4k+1")
        return self


class MemoryRules(Strict):
    """What the guard knows of a model before anything ran here (engine/guard/predict.py,
    ``Rules``).

    ``window_tokens``: of what changes clips window by window, the most tokens that one has.
    ``impossible_below_gib``: on a device with less in all, no size can run, for
    ``impossible_reason`` (one sentence).
    """

    baseline: Shape
    baseline_peak_gib: Annotated[float, Field(gt=0)]
    minimum_gib: Annotated[float, Field(gt=0)]
    token_pixels: Annotated[float, Field(ge=0)]
    window_tokens: Annotated[int, Field(ge=1)] | None = None
    impossible_below_gib: Annotated[float, Field(gt=0)] | None = None
    impossible_reason: str = ""

    @model_validator(mode="after")
    def _no_refusal_without_a_reason(self) -> "MemoryRules":
        if (self.impossible_below_gib is not None) != bool(self.impossible_reason):
            raise ValueError("impossible_below_gib and impossible_reason go together")
        return self


class Architecture(Strict):
    """A Wan transformer's shape: ``dim`` values a token, ``ffn_dim`` inside a block.

    ``freq_dim``: values of the timestep's embedding; ``text_dim`` × ``text_len``: what the text
    encoder gives.
    """

    layers: Annotated[int, Field(ge=1)]
    dim: Annotated[int, Field(ge=1)]
    ffn_dim: Annotated[int, Field(ge=1)]
    heads: Annotated[int, Field(ge=1)]
    freq_dim: Annotated[int, Field(ge=1)] = 256
    text_dim: Annotated[int, Field(ge=1)] = 4096
    text_len: Annotated[int, Field(ge=1)] = 512

    @model_validator(mode="after")
    def _whole_heads(self) -> "Architecture":
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} isn't a multiple of heads {self.heads}")
        return self


class Source(Strict):
    """Where a file is to be had: ``path`` within ``repo`` of the Hugging Face hub, at ``revision``.

    ``layout``: "blocks" is a file a block, "single" the whole. ``sha256``: a path in ``repo`` each.
    """

    repo: Annotated[str, Field(pattern=r"^[\w.\-]+/[\w.\-]+$")]
    path: Annotated[str, Field(pattern=r"^[\w.\-]+(/[\w.\-]+)*$")]
    layout: Literal["blocks", "single", "file", "folder"]
    revision: Annotated[str, Field(pattern=r"^[\w.\-/]+$")] = "main"
    sha256: tuple[tuple[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]], ...] = ()

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if {".", ".."} & set(path.split("/")):
            raise ValueError("path leaves the repository")
        return path


class WeightFile(Strict):
    """One part of a checkpoint: ``bytes`` in all, about, and ``sources``, the preferred first."""

    role: Role
    precision: Precision | None = None
    bytes: Annotated[int, Field(ge=1)]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @property
    def optional(self) -> bool:
        """Whether clips are made without it, too."""
        return self.role in OPTIONAL

    @model_validator(mode="after")
    def _a_layout_that_the_role_has(self) -> "WeightFile":
        own: dict[str, set[str]] = {role: {"blocks", "single"} for role in TRANSFORMERS}
        own["tokenizer"] = {"folder"}
        allowed = own.get(self.role, {"file"})
        for source in self.sources:
            if source.layout not in allowed:
                known = " or ".join(sorted(allowed))
                raise ValueError(f"the {self.role}'s layout is {known}, not {source.layout}")
        return self


class Point(Shape):
    """One published run."""

    peak_gib: Annotated[float, Field(gt=0)]


class ReferenceClip(Shape):
    """How long a whole clip took there, and what the card is that made it."""

    seconds: Annotated[float, Field(gt=0)]
    capability: tuple[int, int]
    cores: Annotated[int, Field(ge=1)]


class Reference(Strict):
    """Measurements of another machine, with their source. ``matmul``: the kernel that they ran
    with, where it matters to a peak and is known."""

    model: str
    device: str
    source: str
    matmul: str | None = None
    points: tuple[Point, ...]
    clip: ReferenceClip | None = None


class ModelPreset(Strict):
    """One model: how it is made, sampled and bounded. ``default`` is what the page starts with.

    ``task``: whether its clips begin with a picture. ``from_picture``: of a model that takes none,
    the one that is used in its place for a request that holds one. ``adapters``: whether it takes
    LoRAs. ``draft_of``: the model whose files this one runs in a faster, rougher way
    (``DraftPreset``).
    ``checkpoint``: a folder of the project that holds the weights, for a model that ships with it;
    ``weights``: where the files of any other are. ``denoising_steps``: the timesteps (1000 is pure
    noise) at which a distilled model was trained to be called, falling. ``boundary_step``: of a
    model with two transformers, the step (from 0) that the second one begins with. ``last_shift``:
    in place of ``shift`` where a clip also ends with a picture.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")]
    name: str
    summary: str
    family: FamilyName
    runs_on: Literal["cpu", "nvidia"]
    task: Task = "t2v"
    from_picture: str | None = None
    adapters: bool = False
    draft_of: str | None = None
    checkpoint: str | None = None
    precision: Precision | None = None
    architecture: Architecture | None = None
    weights: tuple[WeightFile, ...] = ()
    fps: Annotated[int, Field(ge=1, le=60)] = 16
    steps: Annotated[int, Field(ge=1, le=100)] = 1
    denoising_steps: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = ()
    guidance: Annotated[float, Field(ge=1.0)] = 1.0
    shift: Annotated[float, Field(gt=0)] = 1.0
    last_shift: Annotated[float, Field(gt=0)] | None = None
    boundary_step: Annotated[int, Field(ge=1)] | None = None
    default: Shape
    limits: Limits
    memory: MemoryRules

    @property
    def weights_of(self) -> str:
        """The model whose weights these are: a draft has none of its own."""
        return self.draft_of or self.id

    @property
    def begins_with_picture(self) -> bool:
        return self.task == "i2v"

    @property
    def changes_clips(self) -> bool:
        """Whether it makes nothing of a prompt, but another version of a clip: it has no prompt,
        steps or seed, and clips of any size have its rate."""
        return self.enlarges or self.task == "smooth"

    @property
    def enlarges(self) -> bool:
        """Whether what it changes are the pictures' sizes; it may make more of them, too."""
        return self.task == "enlarge"

    @property
    def is_guest(self) -> bool:
        """Whether it works beside whatever model a worker has loaded, which stays."""
        return self.family in ("smooth", "rife")

    @property
    def inputs(self) -> frozenset[Input]:
        """What a request for it may hold, beside size and seed."""
        pictures: tuple[Input, ...] = ("image", "last_image") if self.begins_with_picture else ()
        adapters: tuple[Input, ...] = ("adapters",) if self.adapters else ()
        return frozenset(("prompt", *pictures, *adapters))

    @property
    def experts(self) -> int:
        """How many transformers there are, which take turns."""
        return 1 if self.boundary_step is None else 2

    @property
    def channels(self) -> int:
        """Of what the transformer gets: the latent, and of a picture its mask and its latent."""
        more = MASK_CHANNELS + LATENT_CHANNELS if self.begins_with_picture else 0
        return LATENT_CHANNELS + more

    def seconds(self, frames: int) -> float:
        """How long a clip of so many frames plays."""
        return frames / self.fps

    def weight_file(self, role: Role) -> WeightFile | None:
        """The part of the checkpoint with this role; None where the preset lists none."""
        return next((file for file in self.weights if file.role == role), None)

    @property
    def layers(self) -> int:
        """How many blocks the transformer has; 0 where the preset says nothing of it."""
        return self.architecture.layers if self.architecture else 0

    @property
    def text_precision(self) -> Precision | None:
        """The text encoder's, which is the model's own where its file says nothing else."""
        file = self.weight_file("text_encoder")
        return (file and file.precision) or self.precision

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, given: object) -> object:
        if isinstance(given, dict) and "family" not in given and "pipeline" in given:
            given["family"] = _FAMILY_OF.get(given["pipeline"], given.pop("pipeline"))
        return given

    @model_validator(mode="after")
    def _steps_agree(self) -> "ModelPreset":
        given = self.denoising_steps
        if given and len(given) != self.steps:
            raise ValueError(f"denoising_steps has {len(given)} values for {self.steps} steps")
        if any(later >= earlier for earlier, later in pairwise(given)):
            raise ValueError("denoising_steps must fall from each value to the next")
        return self

    @model_validator(mode="after")
    def _says_what_its_family_needs(self) -> "ModelPreset":
        sampled = () if self.changes_clips else SAMPLED
        lacks = [name for name in sampled if name not in self.model_fields_set]
        lacks += [name for name in NEEDS.get(self.family, ()) if not getattr(self, name)]
        needed = PARTS.get(self.family, (*_WANS, *TRANSFORMERS[1 : self.experts]))
        roles = [role for role in needed if self.weights and self.weight_file(role) is None]
        lacks += [f"weights for the {role}" for role in roles]
        if lacks:
            raise ValueError(f"family {self.family} also needs {', '.join(lacks)}")
        return self

    @model_validator(mode="after")
    def _each_role_once(self) -> "ModelPreset":
        roles = [file.role for file in self.weights]
        twice = sorted({role for role in roles if roles.count(role) > 1})
        if twice:
            raise ValueError(f"weights names {', '.join(twice)} more than once")
        for role in TRANSFORMERS:
            transformer = self.weight_file(role)
            if transformer is None:
                continue
            if role in TRANSFORMERS[self.experts :]:
                raise ValueError(f"weights names a {role}, and boundary_step is missing")
            if transformer.precision not in (None, self.precision):
                raise ValueError(
                    f"the {role} is {transformer.precision}, the model {self.precision}"
                )
        return self

    @model_validator(mode="after")
    def _experts_take_turns(self) -> "ModelPreset":
        if self.boundary_step is not None and self.boundary_step >= self.steps:
            raise ValueError(f"boundary_step {self.boundary_step} leaves no step of {self.steps}")
        return self


class DraftPreset(Strict):
    """A model that is another one's files run in a faster, rougher way. All that isn't said here is
    as ``draft_of`` has it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")]
    draft_of: str
    name: str
    summary: str
    from_picture: str | None = None


class SizePreset(Strict):
    """A picture size that the page offers, with the models that it suits. ``best``: they
    were trained for it, and it looks best."""

    name: str
    height: Annotated[int, Field(ge=16, multiple_of=16)]
    width: Annotated[int, Field(ge=16, multiple_of=16)]
    models: tuple[str, ...]
    best: bool = False


class SizesFile(Strict):
    sizes: tuple[SizePreset, ...]
    frames: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Presets:
    """All presets of this installation, by model id."""

    models: Mapping[str, ModelPreset]
    sizes: tuple[SizePreset, ...]
    frames: Mapping[str, tuple[int, ...]]
    references: tuple[Reference, ...] = ()

    def reference_points(self, model: str, matmul: str) -> tuple[Point, ...]:
        """The published runs that say most about ``model`` with this kernel: of one card, because a
        line between two cards' peaks would mean nothing; of this kernel before the most thorough.
        """
        known = self.models.get(model)
        files = known.weights_of if known is not None else model
        found = (r for r in self.references if r.model == files)
        best = max(found, key=lambda r: (r.matmul == matmul, len(r.points)), default=None)
        return best.points if best is not None else ()

    def called(self, model: str) -> str:
        """The name of ``model``; its id where no preset here has it."""
        return self.models[model].name if model in self.models else model

    @property
    def makers(self) -> list[ModelPreset]:
        """Those that make clips of a prompt: what people choose among."""
        return [preset for preset in self.models.values() if not preset.changes_clips]

    def maker(self, model: object) -> ModelPreset | None:
        """The model of that id, if it makes clips of a prompt."""
        preset = self.models.get(model) if isinstance(model, str) else None
        return None if preset is None or preset.changes_clips else preset

    @property
    def changers(self) -> list[ModelPreset]:
        """Those that make another version of a clip, the ones for GPUs first."""
        found = [preset for preset in self.models.values() if preset.changes_clips]
        return sorted(found, key=lambda preset: preset.runs_on != "nvidia")

    @property
    def with_files(self) -> list[ModelPreset]:
        """Those that people get and look after: the ``makers`` but for drafts, which have no files
        of their own, and of the ``changers`` those that have some."""
        own = [preset for preset in self.makers if preset.draft_of is None]
        return own + [preset for preset in self.changers if preset.weights]

    @property
    def default(self) -> ModelPreset:
        return self.models.get(DEFAULT_MODEL) or self.makers[0]

    def sizes_for(self, model: str) -> tuple[SizePreset, ...]:
        files = self.models[model].weights_of
        return tuple(size for size in self.sizes if files in size.models)

    def frames_for(self, model: str) -> tuple[int, ...]:
        preset = self.models[model]
        return self.frames.get(preset.weights_of, (preset.default.frames,))


def load_presets(folder: Path = PROJECT / "presets") -> Presets:
    """Read ``folder`` and the optional HEADROOM_PRESETS folder, whose models are added.

    Raises:
        PresetError: names file and line.
    """
    # By name without its ending: wan-tiny before wan-tiny-i2v.
    files = sorted((folder / "models").glob("*.yaml"), key=lambda file: file.stem)
    extra = os.environ.get("HEADROOM_PRESETS", "").strip()
    if extra:
        try:
            files += sorted(Path(extra).glob("*.yaml"))
        except OSError as error:
            raise PresetError(
                f"HEADROOM_PRESETS names a folder that can't be read: {error.strerror}.",
                "Correct it, or remove it.",
            ) from error
    if not files:
        raise PresetError(
            f"There is no model preset in {folder / 'models'}.",
            "Restore the project's presets folder.",
        )
    models: dict[str, ModelPreset] = {}
    for file in files:
        preset = read(file, ModelPreset)
        if preset.id in models:
            raise PresetError(
                f"{file}: line 1: the model id {preset.id!r} is taken by another file.",
                "Give it another id.",
            )
        models[preset.id] = preset
    for file in sorted((folder / "drafts").glob("*.yaml")):
        draft = read(file, DraftPreset)
        if draft.id in models or draft.draft_of not in models:
            why = "is taken" if draft.id in models else f"has no model {draft.draft_of!r}"
            raise PresetError(
                f"{file}: line 1: the model id {draft.id!r} {why}.",
                "Correct the file, or restore it from the project.",
            )
        said = draft.model_dump(exclude_none=True)
        models[draft.id] = models[draft.draft_of].model_copy(update=said)
    _check_pictures(models)
    sizes = read(folder / "sizes.yaml", SizesFile)
    references = tuple(read(f, Reference) for f in sorted((folder / "measured").glob("*.yaml")))
    return Presets(models, sizes.sizes, sizes.frames, references)


def _check_pictures(models: Mapping[str, ModelPreset]) -> None:
    for preset in models.values():
        name = preset.from_picture
        if name is not None and not (name in models and models[name].begins_with_picture):
            raise PresetError(
                f"The preset of {preset.id}: from_picture: {name!r} is no model that begins with a"
                " picture.",
                "Correct the file, or restore it from the project.",
            )
