"""Training examples for the transformer: prompts read once, clips rendered and encoded as needed.

Encoding costs more than a training step on a small clip, so latents are kept in a bank on the
device and used several times, each time with other noise, while a part of them is replaced. For a
transformer that takes a picture each clip's conditioning is kept beside its latents.
"""

import random
from dataclasses import dataclass

import torch

from engine.pipelines.wan_tiny.checkpoint import takes_picture
from engine.pipelines.wan_tiny.codec import encode_moments, normalise
from engine.pipelines.wan_tiny.training.conditioning import condition
from engine.pipelines.wan_tiny.training.model import Parts, embed
from engine.pipelines.wan_tiny.training.phrases import compose
from engine.pipelines.wan_tiny.training.picture_phrases import compose_for_picture
from engine.pipelines.wan_tiny.training.pictures import begin
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter, render

Shape = tuple[int, int, int]  # height, width, frames


def tokens_of(shape: Shape) -> int:
    """How many tokens the transformer sees for a clip of this shape."""
    height, width, frames = shape
    return ((frames - 1) // 4 + 1) * (height // 16) * (width // 16)


@dataclass(frozen=True)
class Prompts:
    """Prompts that are read: embeddings [N, L, D] in bfloat16 and slots [N, 11]."""

    embeddings: torch.Tensor
    slots: torch.Tensor

    @classmethod
    def draw(
        cls, parts: Parts, seed: int, count: int, device: torch.device, *, held: bool = False
    ) -> "Prompts":
        """Compose count prompts and read them with the text encoder."""
        rng = random.Random(seed)
        draw = compose_for_picture if takes_picture(parts.transformer) else compose
        pairs = [draw(rng, held=held) for _ in range(count)]
        texts = [prompt for prompt, _ in pairs]
        parts.text_encoder.to(device)
        read = [embed(parts, texts[i : i + 4096], device).bfloat16() for i in range(0, count, 4096)]
        slots = torch.tensor([slots_of(scene) for _, scene in pairs], device=device)
        return cls(torch.cat(read), slots)


class Bank:
    """Latents of one clip shape on the device, each with the number of its prompt.

    After a clip's 16 channels come the 20 of its conditioning, if the transformer takes a picture.
    """

    def __init__(
        self,
        parts: Parts,
        prompts: Prompts,
        shape: Shape,
        size: int,
        generator: torch.Generator,
    ) -> None:
        height, width, frames = shape
        device = generator.device
        self.shape = shape
        self._vae = parts.vae
        self._begins = takes_picture(parts.transformer)
        self._prompts = prompts
        self._generator = generator
        self._chunk = max(1, min(size, 256 * 4096 * 17 // (height * width * frames)))
        channels = parts.transformer.config.in_channels
        self.latents = torch.zeros(
            (size, channels, (frames - 1) // 4 + 1, height // 8, width // 8),
            dtype=torch.bfloat16,
            device=device,
        )
        self.rows = torch.zeros(size, dtype=torch.long, device=device)
        self._next = 0
        self.filled = 0

    @torch.no_grad()
    def add(self, count: int) -> None:
        """Render and encode at least count new clips over the oldest ones."""
        device = self.latents.device
        size = len(self.rows)
        for _ in range(-(-count // self._chunk)):
            number = min(self._chunk, size - self._next)
            rows = torch.randint(
                len(self._prompts.slots), (number,), generator=self._generator, device=device
            )
            place = slice(self._next, self._next + number)
            self.latents[place] = self._make(self._prompts.slots[rows]).bfloat16()
            self.rows[place] = rows
            self.filled = max(self.filled, self._next + number)
            self._next = (self._next + number) % size

    def _make(self, slots: torch.Tensor) -> torch.Tensor:
        """Normalised latents of new clips, and their conditioning: [N, 16 or 36, f, h, w]."""
        height, width, frames = self.shape
        drawn = begin(slots, self.shape, self._generator) if self._begins else None
        if drawn is None:
            clips = render(slots, draw_jitter(len(slots), self._generator), frames, height, width)
        else:
            clips = drawn.clips
        device = self.latents.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            mean, _ = encode_moments(self._vae, clips)
            given = [] if drawn is None else [condition(self._vae, clips, drawn.ends)]
        return torch.cat([normalise(self._vae, mean.float()), *given], dim=1)

    def take(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """count random examples: latents [count, 16 or 36, f, h, w], embeddings [count, L, D]."""
        picked = torch.randint(
            self.filled, (count,), generator=self._generator, device=self.latents.device
        )
        embeddings = self._prompts.embeddings[self.rows[picked]]
        return self.latents[picked].float(), embeddings.float()
