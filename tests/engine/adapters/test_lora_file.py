"""What a LoRA's header says: names of every trainer, alphas, words, and files that are refused."""

import json
from pathlib import Path

import pytest

from engine.adapters.lora_file import AdapterError, read_lora
from tests.support import loras


@pytest.mark.parametrize("scheme", ["wan", "kohya", "diffusers", "lightx2v", "comfy"])
def test_every_trainers_names_are_wans_layers(tmp_path: Path, scheme: str) -> None:
    lora = read_lora(loras.write(tmp_path / "a.safetensors", loras.layers(scheme)))
    expected = {f"blocks.{n}.{part}.weight" for n in (0, 1) for part in loras.PARTS}
    assert {change.tensor for change in lora.changes} == expected
    assert lora.ranks == (4,)
    assert lora.unknown == ()
    shapes = {change.tensor: change.shape for change in lora.changes}
    assert shapes["blocks.1.ffn.0.weight"] == (32, 16)
    assert lora.schemes == ({"kohya": "kohya", "diffusers": "diffusers"}.get(scheme, "wan"),)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("lora_unet_blocks_7_cross_attn_k_img", "blocks.7.cross_attn.k_img.weight"),
        ("lora_unet__blocks_0_ffn_2", "blocks.0.ffn.2.weight"),
        ("lycoris_blocks_0_attn1_to_out_0", "blocks.0.self_attn.o.weight"),
        ("base_model.model.blocks.3.attn2.add_v_proj", "blocks.3.cross_attn.v_img.weight"),
        ("transformer.condition_embedder.time_proj", "time_projection.1.weight"),
        ("lora_unet_text_embedding_2", "text_embedding.2.weight"),
        ("transformer.proj_out", "head.head.weight"),
    ],
)
def test_names_that_are_seldom_met(tmp_path: Path, name: str, tensor: str) -> None:
    tensors = {f"{name}.lora_down.weight": (2, 16), f"{name}.lora_up.weight": (16, 2)}
    (change,) = read_lora(loras.write(tmp_path / "a.safetensors", tensors)).changes
    assert change.tensor == tensor


def test_a_convolutions_sides_are_joined(tmp_path: Path) -> None:
    name = "diffusion_model.patch_embedding"
    tensors = {
        f"{name}.lora_A.weight": (2, 16, 1, 2, 2),
        f"{name}.lora_B.weight": (16, 2, 1, 1, 1),
    }
    (change,) = read_lora(loras.write(tmp_path / "a.safetensors", tensors)).changes
    assert (change.shape, change.rank) == ((16, 64), 2)


def test_alpha_counts_by_layer_and_is_the_rank_where_there_is_none(tmp_path: Path) -> None:
    tensors = loras.layers("kohya", blocks=1)
    halved, bare = (loras.named("kohya", 0, part) for part in ("self_attn.q", "ffn.0"))
    values = {f"{name}": 4.0 for name in tensors if name.endswith(".alpha")}
    values[f"{halved}.alpha"] = 1.0
    tensors.pop(f"{bare}.alpha")
    lora = read_lora(loras.write(tmp_path / "a.safetensors", tensors, values=values))
    scales = {change.tensor: change.scale for change in lora.changes}
    assert scales["blocks.0.self_attn.q.weight"] == 0.25
    assert scales["blocks.0.self_attn.o.weight"] == 1.0
    assert scales["blocks.0.ffn.0.weight"] == 1.0


@pytest.mark.parametrize(("by_root", "scale"), [(False, 2.0), (True, 4.0)])
def test_the_alpha_of_pefts_settings(tmp_path: Path, by_root: bool, scale: float) -> None:
    settings = {"transformer.lora_alpha": 8, "transformer.use_rslora": by_root}
    metadata = {"lora_adapter_metadata": json.dumps(settings)}
    lora = read_lora(loras.write(tmp_path / "a.safetensors", loras.layers(), metadata))
    assert {change.scale for change in lora.changes} == {scale}


def test_full_differences_of_weights_biases_norms_and_modulations(tmp_path: Path) -> None:
    block = "diffusion_model.blocks.0"
    tensors = {
        f"{block}.self_attn.norm_q.diff": (16,),
        f"{block}.norm3.diff_b": (16,),
        f"{block}.ffn.0.diff_b": (32,),
        f"{block}.diff_m": (1, 6, 16),
        "diffusion_model.head.diff_m": (1, 2, 16),
    }
    lora = read_lora(loras.write(tmp_path / "a.safetensors", tensors))
    assert {change.tensor for change in lora.changes} == {
        "blocks.0.self_attn.norm_q.weight",
        "blocks.0.norm3.bias",
        "blocks.0.ffn.0.bias",
        "blocks.0.modulation",
        "head.modulation",
    }
    assert all(change.diff and not change.rank for change in lora.changes)


def test_what_is_no_layer_is_counted_and_half_a_product_too(tmp_path: Path) -> None:
    tensors = loras.layers()
    del tensors["diffusion_model.blocks.0.ffn.0.lora_B.weight"]
    tensors["lora_te_text_model_encoder.lora_down.weight"] = (4, 16)
    tensors["lora_te_text_model_encoder.lora_up.weight"] = (16, 4)
    lora = read_lora(loras.write(tmp_path / "a.safetensors", tensors))
    assert lora.unknown == ("diffusion_model.blocks.0.ffn.0", "lora_te_text_model_encoder")
    assert len(lora.changes) == 9


@pytest.mark.parametrize(
    ("metadata", "triggers"),
    [
        ({"modelspec.trigger_phrase": "a zelda scene"}, ("a zelda scene",)),
        ({"trigger_words": '["ohwx", "man"]'}, ("ohwx", "man")),
        (
            {"ss_tag_frequency": '{"10_a": {"dog": 3, "ohwx": 9}, "b": {"dog": 1}}'},
            ("ohwx", "dog"),
        ),
        ({"ss_tag_frequency": "[1, 2"}, ()),
        ({"ss_tag_frequency": '{"a": 7}'}, ()),
        ({}, ()),
    ],
)
def test_trigger_words(tmp_path: Path, metadata: dict[str, str], triggers: tuple[str, ...]) -> None:
    lora = read_lora(loras.write(tmp_path / "a.safetensors", loras.layers(), metadata))
    assert lora.triggers == triggers


def test_words_are_shown_and_do_nothing_else(tmp_path: Path) -> None:
    metadata = {"modelspec.title": "\x1b[2Jred " + "x" * 500, "ss_base_model_version": "wan2.1"}
    lora = read_lora(loras.write(tmp_path / "a.safetensors", loras.layers(), metadata))
    assert "\x1b" not in lora.title
    assert len(lora.title) <= 80
    assert lora.base == "wan2.1"


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"lora_unet_double_blocks_0_img.lora_down.weight": (4, 8)}, "Flux / HunyuanVideo"),
        ({"lora_unet_down_blocks_0.lora_down.weight": (4, 8)}, r"Stable Diffusion \(XL\)"),
        ({"transformer.single_transformer_blocks.0.x.lora_A.weight": (4, 8)}, "another model"),
        ({"a.weight": (4, 8)}, "no layer of Wan's; it isn't a LoRA"),
        ({"blocks.0.ffn.0.weight": (4, 8)}, "no layer of Wan's; it isn't a LoRA"),
        ({"blocks.0.ffn.0.lokr_w1": (4, 8)}, "was trained as LoKr"),
        ({"lora_unet_blocks_0_ffn_0.hada_w1_a": (4, 8)}, "was trained as LoHa"),
        ({**loras.layers(), "blocks.0.ffn.0.dora_scale": (4,)}, "was trained as DoRA"),
    ],
)
def test_other_models_and_other_methods_are_refused(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], told: str
) -> None:
    with pytest.raises(AdapterError, match=told):
        read_lora(loras.write(tmp_path / "a.safetensors", tensors))


@pytest.mark.parametrize("down", [(4,), (), (0, 16), (5, 16)])
def test_shapes_that_dont_go_together_are_damage(tmp_path: Path, down: tuple[int, ...]) -> None:
    tensors = loras.layers(blocks=1) | {"diffusion_model.blocks.0.ffn.0.lora_A.weight": down}
    with pytest.raises(AdapterError, match="is damaged"):
        read_lora(loras.write(tmp_path / "a.safetensors", tensors))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 8,
        b"<html>",
        b"PK\x03\x04",
        b"\xff" * 64,
        (20).to_bytes(8, "little") + b'{"a": 1'.ljust(20),
    ],
)
def test_a_file_that_is_none_is_told_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(AdapterError) as refused:
        read_lora(file)
    assert file.name in str(refused.value)
    assert str(tmp_path) not in str(refused.value), "programs hear it too"
    assert refused.value.remedy


def test_a_file_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"none\.safetensors doesn't exist"):
        read_lora(tmp_path / "none.safetensors")


def test_a_header_without_end_isnt_read(tmp_path: Path) -> None:
    file = loras.write(tmp_path / "a.safetensors", loras.layers(), {"x": "y" * 33 * 2**20})
    with pytest.raises(AdapterError, match="safetensors"):
        read_lora(file)
