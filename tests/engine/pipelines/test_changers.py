"""What changes clips, and what makes frames in between beside it."""

from engine.home import Home
from engine.pipelines.changers import between_by
from engine.presets import load_presets


def test_beside_seedvr_the_frames_between_are_the_best_that_is_here() -> None:
    presets = load_presets().models
    for itself in ("smooth", "enlarge", "rife"):
        assert between_by(presets[itself]) is presets[itself]
    assert between_by(presets["seedvr2-3b"]).id == "smooth"
    file = Home.find().weights / "rife" / "rife_v4.26.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"here")
    assert between_by(presets["seedvr2-3b"]).id == "rife"
