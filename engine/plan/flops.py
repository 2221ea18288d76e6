"""The least that a transformer must compute for a clip: counted from its shape, without torch."""

import json
from functools import cache

from engine.home import PROJECT
from engine.presets import Architecture, ModelPreset
from engine.request import Size


def step_work(shape: Architecture, size: Size) -> dict[str, float]:
    """Floating-point operations of one denoise step: what matrices and attention must do."""
    tokens, dim, text = size.tokens, shape.dim, shape.text_len
    # Of a token: queries, keys, values and output, queries and output on the text, and the two of
    # the feed-forward part; keys and values of the text itself.
    linear = 2.0 * tokens * (6 * dim * dim + 2 * dim * shape.ffn_dim) + 2.0 * text * 2 * dim * dim
    attends = 4.0 * tokens * (tokens + text) * dim
    return {"matrix": shape.layers * linear, "attention": shape.layers * attends}


@cache
def architecture_of(preset: ModelPreset) -> Architecture | None:
    """The transformer's shape, for a model that ships with the program from its own files."""
    if preset.architecture is not None or preset.checkpoint is None:
        return preset.architecture
    folder = PROJECT / preset.checkpoint
    told = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    card = json.loads((folder / "wan_tiny.json").read_text(encoding="utf-8"))
    heads = told["num_attention_heads"]
    return Architecture(
        layers=told["num_layers"],
        dim=heads * told["attention_head_dim"],
        ffn_dim=told["ffn_dim"],
        heads=heads,
        freq_dim=told["freq_dim"],
        text_dim=told["text_dim"],
        text_len=card["max_sequence_length"],
    )
