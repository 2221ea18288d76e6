"""What every case has to answer, with the real LightX2V and with its double alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.packages import Package, copied

Found = Mapping[str, Mapping[str, Any]]
CASES = (
    "works",
    "sizes",
    "cancel",
    "faults",
    "unrepaired",
    "broken",
    "text_faults",
    "precision",
    "proofs",
    "texts",
    "tiled",
    "tiny_vae",
    "becomes",
    "bad_frames",
    "video_length",
    "image_encoder",
    "token_embedding",
    "missing_bias",
    "lazy_biases",
    "offloads",
    "adapters",
    "adapter_changes",
    "adapter_cancel",
    "adapter_offloads",
    "adapter_one_expert",
    "adapter_both_experts",
    "pictures",
    "encoded",
    "turns",
    "told_apart",
    "both_offloads",
    "one_expert_unread",
    "between",
)


class Answers:
    """``package`` and ``workspace`` are fixtures beside each subclass, ``cases`` what it asks."""

    cases: tuple[str, ...]

    @pytest.fixture(scope="class")
    @classmethod
    def found(
        cls, package: Package, workspace: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Found:
        root = copied(workspace, tmp_path_factory.mktemp("lightx2v") / "root")
        return package.answer_cases(cls.cases, root)


class Contract(Answers):
    """Of Wan's pipeline, and of RIFE."""

    cases = CASES

    @pytest.mark.parametrize("case", CASES)
    def test_no_case_crashes(self, found: Found, case: str) -> None:
        assert "crashed" not in found[case], found[case]["crashed"]

    def test_a_clip_in_both_layouts_with_its_stages_blocks_and_previews(self, found: Found) -> None:
        works = found["works"]
        assert works["shape"] == [9, 64, 96, 3]
        assert works["same_in_both_layouts"]
        assert works["other_seed_differs"]
        assert works["stages"] == [["encode", 0], ["denoise", 4], ["decode", 0]]
        blocks, frames = works["advances"][:12], works["advances"][12:]
        assert blocks == [[round(n / 12, 4), n // 3] for n in range(1, 13)]
        assert [share for share, _ in frames] == [0.1111, 0.5556, 1.0]
        assert works["previews"] == [[3, 8, 12, 3]] * 4
        assert (works["parts"], works["parts_are_the_clip"]) == ([1, 4, 4], True)
        assert works["label"]
        assert works["occupied"] == ["the text encoder is being read from disk"]

    def test_sizes_and_steps_change_without_a_reload(self, found: Found) -> None:
        sizes = found["sizes"]
        assert (sizes["first"], sizes["tall"]) == ([9, 64, 96, 3], [5, 96, 64, 3])
        assert sizes["probe_previews"] == 1
        assert sizes["same"]
        assert sizes["same_model"]

    def test_a_cancel_stops_before_the_next_block_and_leaves_nothing(self, found: Found) -> None:
        cancel = found["cancel"]
        assert cancel["cancelled"]
        assert cancel["checks"] == 6  # not asked again
        assert len(cancel["advances"]) == 4  # of 12: the first look is before the blocks
        assert cancel["same"]

    def test_after_an_exception_anywhere_the_next_clip_is_the_same(self, found: Found) -> None:
        faults = found["faults"]
        assert faults["oom"].startswith("OutOfMemory VRAM: ")
        assert faults["bug"] == "ValueError: x"
        assert faults["decode"].startswith("OutOfMemory VRAM: ")
        assert all(faults[f"{name}_same"] for name in ("oom", "bug", "decode"))

    def test_no_repair_is_for_nothing(self, found: Found) -> None:
        """Without it the next clip differs, without a word, or isn't made at all."""
        unrepaired = found["unrepaired"]
        assert unrepaired["refill_offload_buffers"] is False
        assert unrepaired["forget_seed"] is False
        assert "stop_signal" in unrepaired["lift_stop"]
        assert unrepaired["stop_lifted_same"]
        assert unrepaired["drop_video"]
        assert found["video_length"]["without"] == "KeyError: 'target_video_length'"
        assert "context_clip" in found["image_encoder"]["without"]
        assert found["image_encoder"]["same"]
        assert found["token_embedding"]["moved"] == ["cpu"]  # to the device, once, and not back
        assert found["token_embedding"]["mended"]
        assert found["missing_bias"] == {"upstream": False, "mended": [True, False], "then": None}
        assert found["lazy_biases"] == {
            "upstream": "torch.float32",
            "mended": [True, False],
            "then": "torch.bfloat16",
        }

    def test_what_cant_be_mended_is_told_as_broken(self, found: Found) -> None:
        broken = found["broken"]
        assert broken["first"].startswith("Broken: ")
        assert "ValueError while denoising" in broken["first"]
        assert "attention torch_sdpa" in broken["first"]
        assert broken["next"].startswith("Broken: ")
        assert broken["same"]

    def test_the_text_encoder_takes_no_more_ram_than_it_must(self, found: Found) -> None:
        faults = found["text_faults"]
        assert (faults["upstream"], faults["mapped"]) == (False, True)
        assert (faults["left"], faults["dropped"]) == (1, 0)
        assert "ZeroDivisionError" in faults["left_told"]
        assert "ZeroDivisionError" in faults["dropped_told"]

    def test_fp8_counts_with_its_scales(self, found: Found) -> None:
        assert found["precision"]["reference"] >= 0.99
        assert found["precision"]["unscaled"] < 0.99

    @pytest.mark.parametrize(
        ("what", "told"),
        [
            ("attention", "block 0 uses the attention kernel TorchSDPAWeight"),
            ("scheme", "the scheme is 'fp8-torchao', not 'fp8-triton'"),
            ("scales_lost", "block 0.self_attn.q has scales that differ from its file"),
            ("no_scales", "block 0.self_attn.q has no scales"),
            ("dtype", "block 0.self_attn.q is torch.bfloat16 in memory"),
            ("shift", "the shift is 3.0 instead of 5.0"),
            ("steps", "the step list is (1000,) instead of (1000, 750, 500, 250)"),
            ("blocks", "there are 2 blocks instead of 3"),
            (
                "lazy",
                "offload_block_cpu_buffers[0].self_attn.q has scales that differ from its file",
            ),
            ("text_kernel", "text encoder block 0.attn.q uses the matmul kernel "),
            ("text_scales", "ffn.fc2 has scales that differ from its file"),
        ],
    )
    def test_what_was_loaded_otherwise_is_named(self, found: Found, what: str, told: str) -> None:
        fine = ("as_planned", "whole_again", "text_as_planned")
        assert [found["proofs"][name] for name in fine] == [""] * 3
        assert found["proofs"][what].startswith("NotAsPlanned: ")
        assert told in found["proofs"][what]

    def test_a_known_prompt_never_wakes_the_text_encoder(self, found: Found) -> None:
        texts = found["texts"]
        assert texts["asleep_at_start"]
        assert texts["asked"] == ["the blue moon drifts"]
        assert texts["asleep_in_the_next"]
        assert texts["same"]
        assert texts["fp8_encoder"] >= 0.99

    def test_every_offload_makes_the_same_clip_also_after_a_cancel(self, found: Found) -> None:
        offloads = found["offloads"]
        assert offloads["block"] == pytest.approx(1.0, abs=1e-12)
        assert offloads["block-exact"] == pytest.approx(1.0, abs=1e-12)
        assert offloads["lazy"] >= 0.999  # its scales keep all their bits
        assert all(offloads[f"{name}_same"] for name in ("block", "block-exact", "lazy"))

    def test_tiles_change_the_frames_a_little_and_the_latents_not_at_all(
        self, found: Found
    ) -> None:
        assert found["tiled"]["latents"]
        assert found["tiled"]["shape"] == [5, 64, 288, 3]
        assert found["tiled"]["difference"] < 4  # of 255

    def test_the_tiny_vae_streams_what_lightx2v_decodes_at_once(self, found: Found) -> None:
        tiny = found["tiny_vae"]
        assert tiny["latents"], "only the decoder is another"
        assert tiny["shape"] == [9, 64, 96, 3]
        assert tiny["parts"] == [1, 4, 4]
        assert tiny["largest_difference"] <= 1  # of 255: rounding
        assert tiny["previews"] == [[3, 32, 48, 3]] * 4, "half the size, one for each latent frame"
        assert tiny["stopped"]
        assert tiny["same"]
        assert tiny["without"][0] == "whole"
        assert "no tiny VAE" in tiny["without"][1]
        assert tiny["scaled"] == [False, True], "told by the pictures, not by the file's name"
        assert "has nothing to do with the VAE's pictures (6 dB)" in tiny["other"]
        assert "isn't a tiny VAE" in tiny["unread"]
        assert tiny["exact_previews"] == [32, 48], "an exact clip has them, too"

    def test_a_model_becomes_its_draft_and_itself_again(self, found: Found) -> None:
        becomes = found["becomes"]
        assert becomes["ran"] == ["halved", "tiny"]
        assert becomes["differs"]
        assert becomes["missing"] == ["torch_sdpa", True], "as a load would replace it"
        assert becomes["back"] == ["torch_sdpa", "whole"]
        assert becomes["same"]
        assert becomes["nothing_was_loaded"]
        assert becomes["works_on"] == 4

    @pytest.mark.parametrize(("kind", "told"), [("black", "black"), ("nan", "NaN values")])
    def test_bad_frames_are_refused(self, found: Found, kind: str, told: str) -> None:
        assert told in found["bad_frames"][kind]
        assert "fp8-torchao" in found["bad_frames"][kind]
        assert found["bad_frames"]["same"]

    def test_loras_are_the_merged_checkpoint_and_leave_no_bit(self, found: Found) -> None:
        """Two at once, of which one counts against itself: -0.5."""
        adapters = found["adapters"]
        assert adapters["tiny-dequantised"]["equal"], "in bf16 exactly"
        assert adapters["tiny-dequantised"]["written"] == 3 * 13 + 2
        for name in ("tiny-fp8", "tiny-fp8-single"):
            assert adapters[name]["cosine"] >= 0.999
            assert adapters[name]["written"] == 3 * (13 + 10) + 2, "with ten scales a block"
        for told in adapters.values():
            assert told["unmerged"] < 0.95
            assert told["stays"]
            assert told["removed"]
            assert told["same_model"]
            assert told["stages"] == ["load", "encode", "denoise", "decode"]

    def test_loras_are_known_by_every_trainers_names(self, found: Found) -> None:
        assert found["adapter_changes"]["schemes"] == [True, True]

    def test_a_change_of_loras_writes_what_it_has_to(self, found: Found) -> None:
        changes = found["adapter_changes"]
        assert changes["strength_back"]
        assert changes["some"] == [13 + 10, True], "a block's, and no other's"
        assert changes["against_itself"] == []
        assert "isn't in" in changes["without"]
        assert "is 256 × 128 in it and 128 × 64 in" in changes["other"]
        assert changes["then"] == []

    def test_a_cancel_while_loras_are_merged_leaves_nothing(self, found: Found) -> None:
        cancel = found["adapter_cancel"]
        assert cancel["stopped"]
        assert 0 < cancel["half"] < 3 * 23 + 2
        assert cancel["same"]
        assert cancel["without_same"]

    def test_loras_count_alike_however_blocks_are_offloaded(self, found: Found) -> None:
        offloads = found["adapter_offloads"]
        assert offloads["block"] == pytest.approx(1.0, abs=1e-12)
        assert offloads["block-exact"] == pytest.approx(1.0, abs=1e-12)
        assert offloads["lazy"] >= 0.999
        for name in ("block", "block-exact", "lazy"):
            assert offloads[f"{name}_unmerged"] < 0.95
            assert offloads[f"{name}_removed"]
        assert offloads["draft"]

    def test_loras_are_merged_into_what_is_read_at_the_change(self, found: Found) -> None:
        one = found["adapter_one_expert"]
        assert one["equal"] == [True] * 5
        assert one["differ"]
        assert one["after"] == [True] * 6

    def test_a_lora_for_both_experts_is_its_pair(self, found: Found) -> None:
        both = found["adapter_both_experts"]
        assert both["files"] == [2, 1]
        for offload in ("block-exact", "one-expert", "lazy"):
            assert both[offload] == [True, False], offload

    def test_a_clip_begins_and_ends_with_pictures(self, found: Found) -> None:
        made = found["pictures"]
        assert (made["shape"], made["tall"]) == ([9, 64, 96, 3], [5, 96, 64, 3])
        assert made["stages"] == [["encode", 0], ["picture", 0], ["denoise", 4], ["decode", 0]]
        assert made["last_stages"] == ["encode", "picture", "denoise", "decode"]
        pieces, blocks = made["advances"][:3], made["advances"][3:15]
        assert pieces == [[0.0, 0], [0.1111, 0], [0.5556, 0]]
        assert blocks == [[round(n / 12, 4), n // 3] for n in range(1, 13)]
        assert made["previews"] == [[3, 8, 12, 3]] * 4
        assert made["probe_previews"] == 1
        assert made["differ"] == [True] * 5, "by picture, by seed, by the last one"
        assert made["last_same"]
        assert made["same"]
        assert made["shift"] == 5.0, "the other shift is a clip's"
        assert made["same_model"]
        assert "a picture of (32, 32, 3) for a clip of" in made["wrong_size"]
        assert "there is no first picture" in made["none"]

    def test_pictures_are_encoded_in_pieces_to_the_bit(self, found: Found) -> None:
        assert found["encoded"]["same"] == [True] * 6
        assert found["encoded"]["runs"] == [True, True, False] * 2, "a layer at rest is left out"

    def test_a_cancel_or_a_failure_in_either_transformer_leaves_nothing(self, found: Found) -> None:
        turns = found["turns"]
        for name, at, stage in (("picture", 3, "picture"), ("first", 6, "denoise")):
            assert turns[name] == ["Cancelled", at, stage, True]
        assert turns["second"] == ["Cancelled", 12, "denoise", True]
        assert turns["first_fails"] == turns["second_fails"] == ["ValueError: x", True]
        assert turns["picture_fails"].startswith("OutOfMemory VRAM: ")
        assert turns["picture_same"]

    def test_each_transformer_is_proved_to_be_its_own_file(self, found: Found) -> None:
        apart = found["told_apart"]
        assert apart["as_planned"] == ["", ""]
        assert all("has scales that differ from its file" in told for told in apart["exchanged"])
        assert apart["share"] == [True] * 4
        assert "hold the same weights" in apart["alike"]
        assert "has scales that differ from its file" in apart["one_file"]

    def test_two_transformers_make_the_same_clip_wherever_they_wait(self, found: Found) -> None:
        offloads = found["both_offloads"]
        for name in ("block", "block-exact", "one-expert"):
            assert offloads[name] == pytest.approx(1.0, abs=1e-12)
            assert offloads[f"{name}_there"] == 2
        assert offloads["lazy"] >= 0.999
        for name in ("block", "block-exact", "one-expert", "lazy"):
            assert offloads[f"{name}_same"] == [True] * 5

    def test_a_transformer_that_cant_be_read_is_told(self, found: Found) -> None:
        assert "low_noise.safetensors can't be read" in found["one_expert_unread"]["told"]
        assert found["one_expert_unread"]["same"]

    def test_frames_in_between_are_lightx2vs_own(self, found: Found) -> None:
        between = found["between"]
        assert between["frames"] == 8, "of 4, from 16 to 40 a second"
        assert between["equal"] == [True] * 3, "whatever the file calls its tensors"
        assert between["near"] <= 1, "a file of half the size rounds"
        assert between["grids"] == 0, "LightX2V would keep one for every size"
        assert "rife_v4.26.safetensors lacks block0.conv0.0.0.weight" in between["lacks"]
        assert "has encode.cnn0.bias of shape [4], not [16]" in between["shape"]
        assert "can't be read" in between["damaged"]
        assert between["missing"].startswith("WeightsMissing: ")
