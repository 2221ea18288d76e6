"""Tells layers of ours in a loaded transformer what comes before and after them."""

import importlib
from typing import Any

from engine.pipelines.lightx2v.fused.layers import ROWS
from engine.pipelines.lightx2v.proof import blocks_of


def link(model: Any) -> None:
    """In each block and each buffer that blocks are copied to: norms wait for the rotation or the
    modulation after them, layers that read the same quantise it once, a GELU waits for the layer
    after it, a gate for the sum. Does nothing where LightX2V's own layers stand.
    """
    for _, block in blocks_of(model):
        attention, across, forward = block.compute_phases[:3]
        if hasattr(attention.self_attn_q, "keeps"):
            for layer in (attention.self_attn_q, attention.self_attn_k, across.cross_attn_k):
                layer.keeps = True  # the values read it last
            forward.ffn_0.before_gelu = True
        if hasattr(getattr(attention, "rope", None), "norms"):
            attention.rope.norms = attention.self_attn_norm_q, attention.self_attn_norm_k
            for norm in (*attention.rope.norms, attention.norm1, forward.norm2):
                norm.waits = True
            _modulate_with(model.transformer_infer, attention.norm1.eps)
            if hasattr(attention.self_attn_o, "before_gate"):
                attention.self_attn_o.before_gate = forward.ffn_2.before_gate = True


def attend_with(model: Any, name: str) -> None:
    """Have every block attend with LightX2V's ``name``, which holds no weights."""
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER

    for _, block in blocks_of(model):
        attention, across = block.compute_phases[:2]
        attention.add_module("self_attn_1", ATTN_WEIGHT_REGISTER[name]())
        across.add_module("cross_attn_1", ATTN_WEIGHT_REGISTER[name]())


def _modulate_with(infer: Any, eps: float) -> None:
    rows = importlib.import_module(ROWS)
    infer.modulate_func = lambda x, scale, shift: rows.shifted(
        x, scale.flatten(), shift.flatten(), eps
    )
