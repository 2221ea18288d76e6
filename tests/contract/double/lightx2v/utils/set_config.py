"""Settings: from the pipeline's attributes, a JSON file, and the model's own config.json."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .input_info import ALL_INPUT_INFO_KEYS

DEFAULTS = {
    "cpu_offload": False,
    "enable_cfg": False,
    "feature_caching": "NoCaching",
    "use_image_encoder": True,
}


class LockableDict(dict[str, Any]):
    """Settings that nobody changes in passing once the runner is made."""

    locked = False

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *values: Any, **named: Any) -> None:
        if self.locked:
            raise TypeError("the settings are locked")
        super().update(*values, **named)

    def lock(self) -> None:
        self.locked = True

    @contextmanager
    def temporarily_unlocked(self) -> Iterator[None]:
        before, self.locked = self.locked, False
        try:
            yield
        finally:
            self.locked = before


def set_config(pipe: object) -> LockableDict:
    """Fault: an attribute named like any task's input is dropped, if no file brings it back."""
    config = LockableDict(DEFAULTS)
    given = {k: v for k, v in vars(pipe).items() if k not in ALL_INPUT_INFO_KEYS and v is not None}
    config.update(given)
    if config.get("config_json"):
        config.update(json.loads(Path(config["config_json"]).read_text(encoding="utf-8")))
    model = Path(config["model_path"]) / "config.json"
    config.update(json.loads(model.read_text(encoding="utf-8")))
    return config
