"""The text encoder wakes only for prompts that nobody has read yet. (LightX2V loads it at once.)"""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch

from engine.home import Home
from engine.pipelines.base import PipelineError
from engine.pipelines.lightx2v import proof, repairs
from engine.pipelines.lightx2v.read_ahead import ReadAhead
from engine.pipelines.lightx2v.text_cache import TextCache
from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.text import Text
from engine.weights.checkpoint import Checkpoint

log = logging.getLogger("headroom.lightx2v")

WAKING_SECONDS = 180.0  # for which a cancel may have to wait: it is read from a slow disk


class TextEncoder:
    """Takes the place of ``runner``'s way to load its text encoder.

    Args:
        settle: waits until all weights that were loaded have their values.
        occupied: ``base.Run.occupied`` of the clip that is made.
    """

    def __init__(
        self,
        runner: Any,
        preset: ModelPreset,
        plan: Plan,
        checkpoint: Checkpoint,
        settle: Callable[[], None],
        occupied: Callable[[Text, float], None],
    ) -> None:
        self._runner, self._preset, self._plan = runner, preset, plan
        self._checkpoint, self._settle, self._occupied = checkpoint, settle, occupied
        self._cache = TextCache(Home.find().cache / "prompts", self._identity())
        self.load_it: Callable[[], Any] = runner.load_text_encoder  # LightX2V's own way
        self._run: Callable[[Any], Any] = runner.run_text_encoder
        runner.load_text_encoder = self._sleeps

    def rows(self, input_info: Any) -> torch.Tensor:
        """What the encoder makes of the prompt, [tokens, width].

        Raises:
            PipelineError: its kernel gives values that are no numbers.
        """
        prompt = str(input_info.prompt)
        rows = self._cache.get(prompt)
        if rows is None:
            rows = self._wake_and_encode(input_info)
            self._cache.put(prompt, rows)
        return rows

    def _sleeps(self) -> list[Any]:
        """In place of loading it with the rest: it may never be needed."""
        return []

    def _wakes(self) -> list[Any]:
        """LightX2V calls this itself, for every prompt, where it loads lazily."""
        self._occupied(Text("pipelines.reading_text_encoder"), WAKING_SECONDS)
        began = time.perf_counter()
        ahead = ReadAhead([self._checkpoint.text_encoder])
        with ahead, repairs.no_random_weights(), repairs.mapped_files():
            encoders: list[Any] = self.load_it()
            self._settle()
        log.info("text encoder loaded in %.1f s", time.perf_counter() - began)
        proof.prove_text_encoder(encoders[0], self._preset, self._plan, self._checkpoint)
        repairs.look_words_up_in_ram(encoders)
        return encoders

    def _wake_and_encode(self, input_info: Any) -> torch.Tensor:
        runner = self._runner
        lazy = bool(runner.config.get("lazy_load"))
        runner.load_text_encoder = self._wakes
        try:
            began = time.perf_counter()
            if not lazy and not runner.text_encoders:
                runner.text_encoders = runner.load_text_encoder()
            context = self._run(input_info)["context"][0]
            log.info("prompt encoded after %.1f s", time.perf_counter() - began)
        finally:
            runner.load_text_encoder = self._sleeps
        # LightX2V pads with zeros; a token's row is never all zero behind T5's last norm.
        used = context.abs().amax(dim=1).ne(0).nonzero()
        if not bool(torch.isfinite(context).all()):
            kernel = self._plan["text_encoder"].value
            raise PipelineError(
                Text("pipelines.text_encoder_nan", kernel=kernel),
                Text("pipelines.other_text_kernel"),
            )
        rows: torch.Tensor = context[: int(used.max()) + 1 if len(used) else 1].cpu()
        return rows

    def _identity(self) -> str:
        file = self._checkpoint.text_encoder.stat()
        scheme = self._plan["text_encoder"].value
        name = self._checkpoint.text_encoder.name
        return f"{name} {file.st_size} {file.st_mtime_ns} {scheme}"
