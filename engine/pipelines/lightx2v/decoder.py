"""What makes frames of a runner's latents: LightX2V's VAE, and the tiny one where it is."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from engine.pipelines.base import PipelineError
from engine.pipelines.lightx2v import repairs
from engine.pipelines.lightx2v.decode import collect, lay_out
from engine.pipelines.lightx2v.preview import rough_frames
from engine.pipelines.lightx2v.tiny_vae import TinyVae
from engine.plan.choice import Choice, Plan
from engine.plan.lightx2v import TINY
from engine.stages import Frames
from engine.text import Text

log = logging.getLogger("headroom.lightx2v")


class Decoder:
    """``tiny`` is None as long as ``open_tiny`` found none that can be used."""

    def __init__(self, runner: Any, cuda: bool) -> None:
        self._runner, self._cuda = runner, cuda
        self.tiny: TinyVae | None = None

    def open_tiny(self, file: Path | None, plan: Plan) -> Plan:
        """Read the tiny VAE; previews and drafts do without it where that can't be done.

        Args:
            file: None where nobody fetched it.

        Returns:
            ``plan`` as it runs.
        """
        if self.tiny is not None:
            return plan
        vae = getattr(self._runner, "vae_decoder", None)
        problem = Text("pipelines.no_tiny_vae")
        if file is not None and vae is not None:  # None where it is read anew for each clip
            try:
                with self._on_device(vae):
                    self.tiny = TinyVae(file, vae)
                return plan
            except PipelineError as error:
                log.warning("%s", error.sentence)
                problem = error.text
        if plan["decode"].value != TINY:
            return plan
        return {**plan, "decode": Choice("whole", problem)}

    def look(self, latents: torch.Tensor) -> Frames:
        """Small or rough pictures of ``latents`` [16, latent frames, height / 8, width / 8]."""
        if self.tiny is None:
            return rough_frames(latents)
        return self.tiny.look(latents.unsqueeze(0), self._runner.vae_decoder)

    def frames(
        self,
        latents: torch.Tensor,
        plan: Plan,
        check: Callable[[], None],
        done: Callable[[float], None],
        fresh: Callable[[Frames], None],
    ) -> Frames:
        """All frames of ``latents`` [16, latent frames, height / 8, width / 8], as ``plan`` says.

        Args:
            check: called before each piece; what it raises ends the decoding.
            done: hears which share of the frames is there.
            fresh: hears those that have come.
        """
        runner = self._runner
        lazy = bool(runner.config.get("lazy_load"))
        if lazy:
            runner.vae_decoder = runner.load_vae_decoder()
        vae = runner.vae_decoder
        if self._cuda:
            lay_out(vae.model)  # once; it does nothing to what is laid out
        tiny = self.tiny if plan["decode"].value == TINY else None

        def told(fraction: float) -> None:
            check()  # the tiny VAE has no hook
            done(fraction)

        hook = vae.model.decoder.register_forward_pre_hook(lambda *_: check())
        try:
            with contextlib.nullcontext() if tiny else self._on_device(vae):
                given = latents.to(vae.dtype).unsqueeze(0)
                return collect(vae, given, plan, told, fresh, tiny)
        finally:
            hook.remove()
            if lazy:
                del runner.vae_decoder

    @contextlib.contextmanager
    def _on_device(self, vae: Any) -> Iterator[None]:
        try:
            if vae.cpu_offload:
                vae.to_cuda()
            yield
        finally:
            repairs.reset_decoder(self._runner)
