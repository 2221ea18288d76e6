"""Make the stills of the stage's examples with the models that are here.

    .venv/bin/python -m tests.tools.stills [MODEL …]

Without a model: those of the default one. What is there already is left; so is the still of a
prompt that is no example any more, which `git status` shows.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from engine.home import PROJECT
from engine.library.mp4 import poster_of
from engine.presets import load_presets
from ui.tabs.stage import example_file, example_prompts

LONGEST = 192  # px


def main(models: list[str]) -> None:
    presets = load_presets()
    for model in models or [presets.default.id]:
        preset = presets.models[model]
        for prompt in example_prompts(preset):
            file = example_file(preset, prompt)
            if not file.exists():
                file.parent.mkdir(exist_ok=True)
                with tempfile.TemporaryDirectory() as folder:
                    make(model, prompt, Path(folder), file)
            sys.stdout.write(f"{file.name}: {prompt}\n")


def make(model: str, prompt: str, folder: Path, file: Path) -> None:
    clip, poster = folder / "clip.mp4", folder / "still.jpg"
    command = [sys.executable, str(PROJECT / "app.py"), "generate", prompt]
    subprocess.run([*command, "--model", model, "--seed", "1", "--out", str(clip)], check=True)
    poster_of(clip, poster)
    with Image.open(poster) as picture:
        picture.thumbnail((LONGEST, LONGEST))
        picture.save(file, "JPEG", quality=85)


if __name__ == "__main__":
    main(sys.argv[1:])
