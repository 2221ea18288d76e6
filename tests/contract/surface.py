"""What of LightX2V we use, as the package on the path has it: names, kinds of attributes, calls.

``python -m tests.contract.surface FOLDER`` prints it as JSON; test_same.py compares.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import torch

from engine.home import PROJECT
from engine.pipelines.lightx2v.pinning import PinnedArena
from tests.contract.bench import Bench

# Attributes that we read or set, by the object that has them, after a clip with block offload.
ATTRIBUTES: Mapping[str, str] = {
    "runner": "scheduler config load_text_encoder run_text_encoder load_transformer model end_run "
    "run_vae_decoder load_vae_decoder init_modules set_progress_callback text_encoders vae_decoder "
    "gen_video gen_video_final",
    "runner.scheduler": "generator latents sigmas noise_pred step_index infer_steps sample_shift "
    "denoising_step_list clear",
    "runner.model": "transformer_infer transformer_weights pre_infer pre_weight",
    "runner.model.pre_weight": "_modules _parameters",
    "runner.model.pre_infer": "clean_cuda_cache",
    "runner.model.transformer_infer": "run_block infer_block offload_manager",
    "runner.model.transformer_infer.offload_manager": "need_init_first_buffer",
    "runner.model.transformer_weights": "blocks offload_block_cuda_buffers _modules _parameters",
    "block": "compute_phases load_state_dict_from_disk _modules _parameters",
    "block.compute_phases.0": "self_attn_1 self_attn_q self_attn_k self_attn_v self_attn_o",
    "block.compute_phases.1": "cross_attn_1 cross_attn_q cross_attn_k cross_attn_v cross_attn_o",
    "block.compute_phases.2": "ffn_0 ffn_2",
    "block.compute_phases.0.modulation": "tensor_name pin_tensor",
    "block.compute_phases.0.self_attn_q": "pin_weight pin_weight_scale base_attrs load to_cuda "
    "apply",
    "buffer.compute_phases.2.ffn_0": "weight weight_scale weight_cuda_buffer",
    "runner.vae_decoder": "model scale dtype cpu_offload to_cuda to_cpu",
    "runner.vae_decoder.model": "decoder decode_stream tiled_decode clear_cache",
    "runner.text_encoders.0": "model cpu_offload infer",
    "runner.text_encoders.0.model": "token_embedding blocks",
    "runner.text_encoders.0.model.blocks.0": "compute_phases",
    "runner.text_encoders.0.model.blocks.0.compute_phases.0": "attn_q attn_k attn_v attn_o",
    "runner.text_encoders.0.model.blocks.0.compute_phases.1": "ffn_fc1 ffn_fc2 ffn_gate_0",
    "runner.text_encoders.0.model.blocks.0.compute_phases.1.ffn_fc2": "pin_weight",
    "i2v.runner": "input_info init_device run_input_encoder run_text_encoder load_vae_encoder "
    "_run_input_encoder_local_i2v _build_vae_encoder_input get_vae_encoder_output vae_encoder "
    "get_latent_shape_with_target_hw get_encoder_output_i2v",
    "i2v.runner.scheduler": "step_index infer_steps boundary_step_index sample_shift",
    "i2v.runner.vae_encoder": "model encode cpu_offload use_tiling to_cpu",
    "i2v.runner.vae_encoder.model": "encoder clear_cache",
    "i2v.runner.vae_encoder.model.encoder": "conv1 downsamples",
    "i2v.runner.model.model.0": "pre_infer transformer_infer post_infer pre_weight config "
    "transformer_weights set_scheduler infer",
    "i2v.runner.model.model.0.pre_weight": "to_cpu",
    "i2v.runner.model.model.0.transformer_weights": "blocks offload_block_cuda_buffers add_module "
    "non_block_weights_to_cpu",
    "i2v.runner.model.model.0.transformer_infer.offload_manager": "need_init_first_buffer "
    "init_first_buffer prefetch_weights",
    "pipe": "config_json create_generator generate modify_config _init_runner",
}
# Functions that we call, with what we pass: names after a star are keywords.
CALLS: Mapping[str, str] = {
    "LightX2VPipeline": "* model_path model_cls task",
    "LightX2VPipeline.create_generator": "self * config_json",
    "LightX2VPipeline.generate": "self * task seed prompt negative_prompt save_result_path "
    "target_shape",
    "LightX2VPipeline.modify_config": "self settings",
    "Runner": "settings",
    "Runner.init_modules": "self",
    "Runner.load_text_encoder": "self",
    "Runner.load_transformer": "self",
    "Runner.load_vae_decoder": "self",
    "Runner.run_text_encoder": "self input_info",
    "Runner.run_vae_decoder": "self latents",
    "Runner.set_progress_callback": "self callback",
    "Runner.end_run": "self",
    "Runner.get_vae_encoder_output": "self first_frame rows columns last_frame",
    "Runner.get_encoder_output_i2v": "self clip picture text",
    "Runner.get_latent_shape_with_target_hw": "self",
    "Model": "* model_path config device model_type",
    "VaeEncoder.forward": "self x feat_cache feat_idx",
    "Scheduler.clear": "self",
    "Block.load_state_dict_from_disk": "self index",
    "Infer.run_block": "self index block x pre_infer_out",
    "Infer.infer_block": "self block x pre_infer_out",
    "Vae.to_cuda": "self",
    "Vae.to_cpu": "self",
    "VaeModel.clear_cache": "self",
    "VaeModel.decode_stream": "self latents scale",
    "VaeModel.tiled_decode": "self latents scale",
    "Encoder.infer": "self prompts",
    "Matrix": "weight bias",
    "Matrix.load": "self weights",
    "Matrix.to_cuda": "self",
    "Matrix.apply": "self x",
    "Attention": "",
    "Attention.apply": "self q k v",
    "fuse_scale_shift_kernel": "x * scale shift",
    "create_pin_tensor": "tensor * transpose dtype",
    "Embedding._create_cpu_pin_weight": "self tensor",
    "Tensor._create_cpu_pin_tensor": "self tensor",
}


def imported_names() -> Iterator[tuple[str, str]]:
    """(module, name) of all that engine/pipelines and its folders import from LightX2V."""
    for file in sorted((PROJECT / "engine" / "pipelines").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("lightx2v"):
                yield from ((str(node.module), alias.name) for alias in node.names)


def has(module: str, name: str) -> bool:
    try:
        if hasattr(import_module(module), name):
            return True
        import_module(f"{module}.{name}")
    except ImportError:
        return False
    return True


def kind(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {str(value.dtype).removeprefix('torch.')}"
    if value is None or isinstance(value, bool | int | float | str):
        return type(value).__name__
    return "function" if inspect.isroutine(value) else "object"


def attributes(bench: Bench, i2v: Bench) -> Iterator[tuple[str, str]]:
    weights = bench.runner.model.transformer_weights
    roots = {
        "runner": bench.runner,
        "i2v": i2v,
        "pipe": bench.pipeline._pipe,
        "block": weights.blocks[0],
        "buffer": weights.offload_block_cuda_buffers[0],
    }
    for place, names in ATTRIBUTES.items():
        root, *steps = place.split(".")
        found = roots[root]
        for step in steps:
            found = found[int(step)] if step.isdigit() else getattr(found, step)
        for name in names.split():
            value = kind(getattr(found, name)) if hasattr(found, name) else "missing"
            yield f"{place}.{name}", value


def refused_calls(bench: Bench) -> Iterator[tuple[str, str]]:
    """What can't be called as we do; why."""
    from lightx2v import LightX2VPipeline
    from lightx2v.common.ops import utils
    from lightx2v.common.ops.embedding.embedding_weight import EmbeddingWeightTemplate
    from lightx2v.common.ops.tensor.tensor import DefaultTensor
    from lightx2v.models.networks.wan.distill_model import WanDistillModel
    from lightx2v.models.networks.wan.infer.triton_ops import fuse_scale_shift_kernel
    from lightx2v.models.video_encoders.hf.wan import vae
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER, MM_WEIGHT_REGISTER

    runner = bench.runner
    roots = {
        "LightX2VPipeline": LightX2VPipeline,
        "Runner": type(runner),
        "Scheduler": type(runner.scheduler),
        "Infer": type(bench.infer),
        "Block": type(runner.model.transformer_weights.blocks[0]),
        "Vae": type(runner.vae_decoder),
        "VaeModel": type(runner.vae_decoder.model),
        "Encoder": type(runner.text_encoders[0]),
        "Matrix": MM_WEIGHT_REGISTER["fp8-torchao"],
        "Attention": ATTN_WEIGHT_REGISTER["torch_sdpa"],
        "Embedding": EmbeddingWeightTemplate,
        "Model": WanDistillModel,
        "VaeEncoder": vae.Encoder3d,
        "Tensor": DefaultTensor,
        "create_pin_tensor": utils.create_pin_tensor,
        "fuse_scale_shift_kernel": fuse_scale_shift_kernel,
    }
    for name, passed in CALLS.items():
        root, _, method = name.partition(".")
        called = getattr(roots[root], method) if method else roots[root]
        before, _, after = passed.partition("*")
        try:
            inspect.signature(called).bind(*before.split(), **dict.fromkeys(after.split()))
        except TypeError as error:
            yield name, str(error)
    ours = list(inspect.signature(PinnedArena.place).parameters)[1:]
    if ours != list(inspect.signature(utils.create_pin_tensor).parameters):
        yield "create_pin_tensor", f"ours takes {ours}"


def main() -> None:
    bench = Bench("tiny-fp8")
    bench.clip(prompt=str(Path(sys.argv[1])))  # one that wakes the text encoder
    i2v = Bench("tiny-i2v")
    found = {
        "names": {f"{module}.{name}": has(module, name) for module, name in imported_names()},
        "attributes": dict(attributes(bench, i2v)),
        "refused": dict(refused_calls(bench)),
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
