"""What one run is asked for."""

from dataclasses import dataclass, field, fields


@dataclass
class T2VInputInfo:
    """Of text-to-video."""

    seed: int = 0
    prompt: str = ""
    negative_prompt: str = ""
    save_result_path: str | None = ""
    latent_shape: list[int] = field(default_factory=list)
    target_shape: list[int] = field(default_factory=list)
    return_result_tensor: bool = False


@dataclass
class S2VInputInfo(T2VInputInfo):
    """Of another task: its last field is why text-to-video's settings lose theirs (#1086)."""

    target_video_length: int = 0


ALL_INPUT_INFO_KEYS = {f.name for kind in (T2VInputInfo, S2VInputInfo) for f in fields(kind)}
