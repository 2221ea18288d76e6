"""Owns LightX2V's offloaded pipelines of the 4-step distilled Wan 2.1 and 2.2.

LightX2V runs as it is, from one settings file. Around it: the kernels are tried before anything
is read, what was loaded is proved, each transformer block tells progress and sees a cancel, the
text encoder wakes only for new prompts, and frames leave the GPU as they are decoded.
"""

import contextlib
import io
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from engine.adapters.pairs import Noise
from engine.errors import first_line
from engine.home import Home
from engine.machine.facts import package_version, this_machine
from engine.pipelines.base import Broken, Run, StageMeter
from engine.pipelines.cuda import CudaMeter, out_of_memory
from engine.pipelines.lightx2v import kernels, ours, proof, repairs
from engine.pipelines.lightx2v.adapters.loras import Loras
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.decode import refuse_black
from engine.pipelines.lightx2v.decoder import Decoder
from engine.pipelines.lightx2v.experts import transformers_of
from engine.pipelines.lightx2v.fused.link import attend_with, link
from engine.pipelines.lightx2v.loading import (
    check_ram,
    import_lightx2v,
    let_every_block_compile,
    lightx2v_device,
)
from engine.pipelines.lightx2v.picture import PictureEncoder
from engine.pipelines.lightx2v.pinning import PinnedArena, cuda_register, torch_rounds_up
from engine.pipelines.lightx2v.read_ahead import transformer_ahead
from engine.pipelines.lightx2v.sampling import ask, sampling
from engine.pipelines.lightx2v.settings import (
    model_class,
    model_settings,
    run_folder,
    run_settings,
    write_run_folder,
)
from engine.pipelines.lightx2v.text_encoder import TextEncoder
from engine.pipelines.lightx2v.wan22 import load_experts
from engine.pipelines.ram import RamMeter
from engine.plan.choice import Plan
from engine.plan.host_memory import ONE_EXPERT
from engine.presets import ModelPreset
from engine.request import ClipRequest, Size
from engine.stages import Frames, Stage
from engine.text import Memory, Said, Text
from engine.weights.checkpoint import find_checkpoint
from engine.weights.header_check import check_transformer

log = logging.getLogger("headroom.lightx2v")

# A cancel may have to wait so long for kernels to be tuned or compiled.
TUNING_SECONDS, COMPILING_SECONDS = 120.0, 900.0
# Where there is RAM enough to round up there is no need to: the arena is filled twice as fast.
WAIT_IN_RAM = ("block", "block-exact")


class LightX2V:
    """See the module's docstring."""

    meter: StageMeter

    def __init__(self, preset: ModelPreset) -> None:
        self.preset = preset
        self._run: Run | None = None
        self._steps = preset.steps
        self._blocks_done = 0
        self._plan: Plan = {}
        self._failed = False
        self._arena: PinnedArena | None = None
        noises: tuple[Noise | None, ...] = (None,) if preset.experts == 1 else ("high", "low")
        self._loras = [Loras(noise) for noise in noises]
        self._tuned: set[Size] = set()
        self._frames: Frames | None = None
        self._reached: Stage = "load"

    # ---- loading ---------------------------------------------------------------------------

    def load(self, plan: Plan) -> Plan:
        home = Home.find()
        checkpoint = find_checkpoint(home.weights / self.preset.weights_of, self.preset)
        check_transformer(checkpoint, self.preset)
        check_ram(plan, self.preset)
        os.environ.setdefault("PROFILING_DEBUG_LEVEL", "0")  # else every part is timed with a sync
        if "sageattention" in this_machine().packages:
            kernels.name_sage_1()  # also for what this may become later
        device = import_lightx2v()
        self._cuda = device == "cuda"
        self.meter = CudaMeter() if self._cuda else RamMeter()
        repairs.bias_may_be_missing()
        ours.register()
        self._plan = self._settled(plan, home)
        ours.stand_in(str(self._plan["matmul"].value))
        if self._cuda:
            torch.cuda.empty_cache()
        try:
            self._checkpoint = checkpoint
            self._open(home)
        except Exception as error:
            if (spent := out_of_memory(error)) is not None:
                raise spent from error
            raise
        return self._plan

    def _settled(self, plan: Plan, home: Home) -> Plan:
        """``plan`` with kernels that work here."""
        shape = self.preset.architecture
        assert shape is not None
        device = lightx2v_device()
        trials = kernels.Trials(home.cache / "kernels.json", self._facts())
        plan = kernels.settle_kernels(plan, shape, device, trials)
        return kernels.settle_modulation(plan, shape, device, trials)

    def become(self, preset: ModelPreset, plan: Plan) -> Plan:
        """See ``base.HasDrafts``: another attention, and another decoder if the plan says so."""
        home = Home.find()
        try:
            self.preset, self._plan = preset, self._settled(plan, home)
            self._checkpoint = find_checkpoint(home.weights / preset.weights_of, preset)
            self._plan = self._decoder.open_tiny(self._checkpoint.tiny_vae, self._plan)
            for index, model in enumerate(transformers_of(self._runner.model)):
                attend_with(model, kernels.registered(str(self._plan["attention"].value)))
                self._prove(model, index)
        except Exception as error:
            if (spent := out_of_memory(error)) is not None:
                raise spent from error
            raise
        return self._plan

    def _open(self, home: Home) -> None:
        from lightx2v import LightX2VPipeline

        offload = self._plan["offload"].value
        rounds_up = not self._cuda or torch_rounds_up()
        if offload == ONE_EXPERT or (offload in WAIT_IN_RAM and rounds_up):
            self._arena = PinnedArena(cuda_register if self._cuda else lambda *_: None)
            repairs.pin_exactly(self._arena)
        if self._plan["compile"].value == "on":
            let_every_block_compile(self.preset)
        folder = run_folder(home, self.preset)
        settings = run_settings(self.preset, self._plan, self._checkpoint, self._cuda)
        repairs.no_image_encoder(settings)
        file = str(write_run_folder(folder, model_settings(self.preset), settings))
        self._pipe: Any = LightX2VPipeline(
            model_path=str(folder), model_cls=model_class(self.preset), task=self.preset.task
        )
        repairs.keep_video_length(self._pipe, file)
        self._pipe._init_runner = self._make_runner
        ahead = transformer_ahead(self._checkpoint, self._arena, self._plan, self.preset)
        with ahead, contextlib.redirect_stdout(io.StringIO()):  # it prints all of its settings
            self._pipe.create_generator(config_json=file)
        proof.prove_sampling(self._runner, self.preset)
        if self.preset.experts > 1:
            proof.prove_experts(self._checkpoint.transformers, self.preset)
        self._plan = self._decoder.open_tiny(self._checkpoint.tiny_vae, self._plan)
        self._runner.set_progress_callback(self._step_ended)

    def _make_runner(self, config: Any) -> Any:
        """LightX2V's own runner with our hooks in place before it loads anything."""
        from lightx2v.utils.registry_factory import RUNNER_REGISTER

        torch.set_grad_enabled(False)
        runner = self._runner = RUNNER_REGISTER[config["model_cls"]](config)
        self._texts = TextEncoder(
            runner, self.preset, self._plan, self._checkpoint, self._settle, self._occupied
        )
        self._load_transformer: Callable[[], Any] = runner.load_transformer
        runner.run_text_encoder = self._encode
        runner.load_transformer = self._transformer_loads
        self._decoder = Decoder(runner, self._cuda)
        runner.run_vae_decoder = self._decode
        self._pictures: PictureEncoder | None = None
        if self.preset.begins_with_picture:
            around = partial(self._enter, "picture"), self._denoises
            self._pictures = PictureEncoder(runner, *around, self._encoding, self._cuda)
        runner.init_modules()
        return runner

    def _transformer_loads(self) -> Any:
        """LightX2V makes a new transformer for every run where it loads lazily."""
        boundary = self.preset.boundary_step
        if boundary is None:
            return self._ready(self._load_transformer(), 0)
        files, offload = self._checkpoint.transformers, str(self._plan["offload"].value)
        hooks = self._ready, self._occupied
        return load_experts(
            self._runner, files, boundary, offload, self._arena, self._loras, *hooks
        )

    def _prove(self, model: Any, index: int) -> None:
        transformer = self._checkpoint.transformers[index]
        changed = self._loras[index].changed
        proof.prove_weights(model, self._runner, self.preset, self._plan, transformer, changed)

    def _ready(self, model: Any, index: int) -> Any:
        """LightX2V's transformer with our hooks, once it is proved."""
        self._settle()
        repairs.lazy_biases(model)
        self._prove(model, index)
        originals = Originals(self._checkpoint.transformers[index], self._checkpoint.layout)
        offload = str(self._plan["offload"].value)
        self._loras[index].loaded(model, originals, lightx2v_device(), offload)
        link(model)
        infer = model.transformer_infer
        run_block = infer.run_block

        def watched(index: int, *rest: Any) -> Any:
            self._check()
            if self._run is not None and (tuning := self._tuning()):
                self._run.occupied(*tuning)
            result = run_block(index, *rest)
            self._block_ended()
            return result

        infer.run_block = watched
        return model

    def _have_loras(self, request: ClipRequest, run: Run) -> bool:
        """Whether weights were written so that just the LoRAs of ``request`` are in them."""
        return any([loras.change(request, self.preset, run) for loras in self._loras])

    def _settle(self) -> None:
        if self._arena is not None:
            self._arena.settle()

    def describe(self) -> dict[str, Said]:
        names = ("torch", "lightx2v", "transformers", "triton", "sageattention", "sglang-kernel")
        found: dict[str, Said] = {name: told for name in names if (told := package_version(name))}
        if self._arena is not None and self._arena.pageable:
            size = Memory(self._arena.pageable)
            found["notice"] = Text("pipelines.not_page_locked", size=size)
        return {"label": self.preset.summary, "torch": torch.__version__, **found}

    # ---- generating ------------------------------------------------------------------------

    def generate(
        self, request: ClipRequest, seed: int, run: Run, steps: int | None = None
    ) -> Frames:
        self._run = run
        self._steps = steps or self.preset.steps
        self._blocks_done = 0
        try:
            if self._failed:
                # The repair may have been cut short; it does nothing where nothing is wrong.
                self._mend()
            # A probe measures with what is there: merged, LoRAs take nothing.
            if steps is None and self._have_loras(request, run):
                repairs.refill_offload_buffers(self._runner)
            ends = run.pictures.last is not None
            with sampling(self._runner.scheduler, self.preset, self._steps, ends):
                frames = self._generate(request, seed)
        except BaseException as error:
            self._failed = True
            if (spent := out_of_memory(error)) is not None:
                raise spent from error
            self._mend_after(error)
            raise
        finally:
            self._run = None
        self._tuned.add(request.size)
        return frames

    def _generate(self, request: ClipRequest, seed: int) -> Frames:
        self._size = request.size
        repairs.lift_stop(self._runner)
        self._enter("encode")
        task: str = self.preset.task
        if self._pictures is not None:
            assert self._run is not None
            tiled = self._plan["decode"].value == "tiled"
            self._pictures.take(self._run.pictures, request.size, tiled)
            task = "flf2v" if self._run.pictures.last is not None else task
        ask(self._pipe, request, seed, task)
        frames, self._frames = self._frames, None
        repairs.drop_video(self._runner)
        assert frames is not None
        refuse_black(frames, self._plan)
        return frames

    def _mend(self) -> None:
        self._frames = None
        repairs.after_failure(self._runner)
        self._failed = False

    def _mend_after(self, error: BaseException) -> None:
        try:
            self._mend()
        except Exception as second:
            # On a GPU every call fails once one has gone astray: only a new process helps.
            log.exception("nothing could be mended after %r", error)
            why = Text(
                "pipelines.could_not_go_on",
                error=type(error).__name__,
                stage=Text(f"pipelines.stage_{self._reached}"),
                reason=first_line(error, "", 200).rstrip(".") or Text("pipelines.no_reason"),
            )
            raise Broken(why, Text("pipelines.choose_sdpa")) from second

    # ---- the text ---------------------------------------------------------------------------

    def _encode(self, input_info: Any) -> dict[str, Any]:
        rows = self._texts.rows(input_info)
        self._check()
        assert self.preset.architecture is not None
        context = torch.zeros(1, self.preset.architecture.text_len, rows.shape[1], dtype=rows.dtype)
        context[0, : len(rows)] = rows
        if self._pictures is None:
            self._denoises()
        return {"context": context.to(lightx2v_device()), "context_null": None}

    # ---- progress, preview, cancel ---------------------------------------------------------

    def _enter(self, stage: Stage, steps: int = 0) -> None:
        self._reached = stage
        if self._run is not None:
            self._run.stage(stage, steps)

    def _encoding(self, share: float) -> None:
        self._check()
        if self._run is not None:
            self._run.advance(share)

    def _denoises(self) -> None:
        self._enter("denoise", self._steps)

    def _check(self) -> None:
        if self._run is not None:
            self._run.check()

    def _occupied(self, doing: Text, seconds: float) -> None:
        if self._run is not None:
            self._run.occupied(doing, seconds)

    def _tuning(self) -> tuple[Text, float] | None:
        """What the first block of a new size waits for, and for how long at most."""
        assert self.preset.architecture is not None
        if self._size in self._tuned or not self._cuda:
            return None
        if (
            self._plan["compile"].value == "on"
            and self._blocks_done < self.preset.architecture.layers
        ):
            return Text("pipelines.compiling_blocks"), COMPILING_SECONDS
        if kernels.is_tuned(str(self._plan["matmul"].value)) and self._blocks_done == 0:
            return Text("pipelines.tuning_kernels"), TUNING_SECONDS
        return None

    def _block_ended(self) -> None:
        if self._cuda and self._plan["offload"].value == "resident":
            # Without offload nothing waits for the GPU: all blocks would be queued in an instant,
            # and neither progress nor a cancel would mean anything.
            torch.cuda.synchronize()
        self._blocks_done += 1
        if self._run is not None:
            assert self.preset.architecture is not None
            per_step = self.preset.architecture.layers
            done = self._blocks_done
            self._run.advance(done / (per_step * self._steps), done // per_step)

    def _step_ended(self, _percent: float, _of: int) -> None:
        """LightX2V calls this after each step: the clip as it would be if it ended here."""
        if self._run is None:
            return
        scheduler = self._runner.scheduler
        clean = scheduler.latents
        if scheduler.step_index < scheduler.infer_steps - 1:
            following = float(scheduler.sigmas[scheduler.step_index + 1])
            clean = clean - following * scheduler.noise_pred.to(clean.dtype)
        self._run.preview(self._decoder.look(clean))

    # ---- decoding --------------------------------------------------------------------------

    def _decode(self, latents: torch.Tensor) -> None:
        """In place of LightX2V's: frame by frame to the host, as bytes, with a look for NaN.

        LightX2V gathers the whole clip on the GPU, twice over while it grows, then as float32.

        Args:
            latents: [16, latent frames, height / 8, width / 8].
        """
        self._enter("decode")
        self._frames = self._decoder.frames(
            latents,
            self._plan,
            self._check,
            self._decoded,
            self._run.frames if self._run is not None else lambda _: None,
        )

    def _decoded(self, fraction: float) -> None:
        if self._run is not None:
            self._run.advance(fraction, self._steps)

    # ---- failing ---------------------------------------------------------------------------

    def _facts(self) -> dict[str, str]:
        """What the trial of a kernel counts for."""
        facts = {**this_machine().packages, "shape": str(self.preset.architecture)}
        if isinstance(self.meter, CudaMeter):
            gpu, driver = torch.cuda.get_device_properties(0), self.meter.driver
            facts |= {"gpu": gpu.name, "capability": f"{gpu.major}.{gpu.minor}", "driver": driver}
        return facts
