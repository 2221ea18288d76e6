"""LightX2V's own way on the weights that ours has loaded: what our pipeline is held against."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from engine.pipelines.lightx2v import repairs
from engine.pipelines.lightx2v.pipeline import LightX2V
from engine.pipelines.lightx2v.sampling import ask
from engine.request import ClipRequest

OURS = ("run_text_encoder", "run_vae_decoder")


@contextmanager
def theirs(pipeline: LightX2V) -> Iterator[Callable[[ClipRequest], object]]:
    """LightX2V's own methods, our hooks taken off; put back at the end.

    Not for lazily read weights: there LightX2V makes a transformer of its own for each clip.

    Yields:
        what makes a clip, all of it on the device and nothing written.
    """
    runner, pipe = pipeline._runner, pipeline._pipe
    infer = runner.model.transformer_infer
    ours = {name: vars(runner)[name] for name in OURS}
    block = vars(infer).pop("run_block")
    for name in ours:
        delattr(runner, name)
    runner.set_progress_callback(None)
    if not runner.text_encoders:
        runner.text_encoders = pipeline._texts.load_it()
    repairs.leave_words_to_theirs(runner.text_encoders)

    def generate(request: ClipRequest) -> object:
        task = pipeline.preset.task
        return ask(pipe, request, request.seed, task, return_result_tensor=True)

    try:
        yield generate
    finally:
        infer.run_block = block
        for name, method in ours.items():
            setattr(runner, name, method)
        runner.set_progress_callback(pipeline._step_ended)
        # What their own way leaves on the GPU would be counted as ours from now on: 2 GiB, which
        # under a ceiling also made the next decode three times as slow.
        repairs.drop_video(runner)
        repairs.look_words_up_in_ram(runner.text_encoders)
        torch.cuda.empty_cache()
