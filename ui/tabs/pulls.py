"""Downloads on the page: what live.js draws into cards while they run, what the head says of them
on every tab, and which one has just ended well."""

import html
from collections.abc import Mapping
from typing import Any

from engine.pipelines import is_here
from engine.presets import ModelPreset
from engine.text import NOTHING, FileSize, Text
from engine.weights.downloads import Downloads
from engine.weights.progress import WORKING, DownloadProgress, progress_text
from ui import wording
from ui.wording import say

FILES_SHOWN = 6


def pulls_state(weights: Downloads) -> dict[str, Any]:
    """The running work by model; one mark that changes when some begins or ends; the head's line,
    and the download that ended well last, "" where there is none."""
    progresses = {preset.id: weights.progress(preset.id) for preset in weights.models}
    running = {
        model: progress for model, progress in progresses.items() if progress.phase in WORKING
    }
    ends = [
        f"{model} {progress.what} {0 if model in running else progress.at}"
        for model, progress in progresses.items()
    ]
    models = {preset.id: preset for preset in weights.models}
    return {
        "pulls": {model: pull_state(progress) for model, progress in running.items()},
        "weights": ", ".join(ends),
        "pull-head": head_state(models, running),
        "came": came_state(models, progresses),
    }


def pull_state(progress: DownloadProgress) -> dict[str, Any]:
    """One card's progress: the total, and the files that are on their way."""
    moving = [f for f in progress.files if 0 < f.done < f.bytes]
    done = sum(file.done == file.bytes for file in progress.files)
    told = [
        Text(
            "setup.file_so_far",
            file=file.path.rpartition("/")[2],
            percent=100 * file.done // file.bytes,
            size=FileSize(file.bytes),
        )
        for file in moving[:FILES_SHOWN]
    ]
    if progress.files:
        checking = progress.what == "verify"
        told.append(
            Text(
                "setup.files_checked" if checking else "setup.files_here",
                count=done,
                all=len(progress.files),
            )
        )
    return {
        "text": progress_text(progress),
        "fraction": _fraction(progress),
        "files": told,
    }


def pull_html(model: str, progress: DownloadProgress) -> str:
    """The progress, drawn as it is now; live.js goes on with it."""
    working = progress.phase in WORKING
    pull = pull_state(progress)
    percent = round(100 * pull["fraction"], 1) if working else 0
    files = "".join(f"<li>{_words(told)}</li>" for told in pull["files"]) if working else ""
    return (
        f"<div class='pull' data-pull='{html.escape(model, quote=True)}'"
        f"{'' if working else ' hidden'}><div class='progress' role='progressbar' "
        f"aria-label='{_words(Text('setup.this_download'))}' aria-valuemin='0' aria-valuemax='100' "
        f"aria-valuenow='{percent:.0f}'><span style='width:{percent}%'></span></div>"
        f"<p class='told' aria-live='off'>{_words(pull['text']) if working else ''}</p>"
        f"<ul class='files'>{files}</ul></div>"
    )


def short_name(preset: ModelPreset) -> str:
    """A model as people speak of it: "Wan2.1 14B"; its precision is for lists of several."""
    return preset.name.partition(" (")[0]


def head_state(
    models: Mapping[str, ModelPreset], running: Mapping[str, DownloadProgress]
) -> dict[str, Any] | str:
    """The running download in one short line, as in "Wan2.1 14B: 42 %, 7 min left"."""
    pulls = {model: progress for model, progress in running.items() if progress.what == "pull"}
    if not pulls:
        return ""
    model, progress = next(iter(pulls.items()))
    left = NOTHING
    if progress.left is not None and progress.rate > 0:
        left = Text("pulls.left", time=wording.roughly(progress.left))
    more = Text("pulls.more", count=len(pulls) - 1) if len(pulls) > 1 else NOTHING
    named = {"model": short_name(models[model]), "more": more}
    if not progress.total:
        return {"text": Text("pulls.head_begins", **named), "fraction": 0.0}
    line = Text("pulls.head", percent=progress.percent, left=left, **named)
    return {"text": line, "fraction": _fraction(progress)}


def came_state(
    models: Mapping[str, ModelPreset], progresses: Mapping[str, DownloadProgress]
) -> dict[str, Any] | str:
    """The download that ended well last, and when, in seconds since 1970."""
    ended = {
        model: progress
        for model, progress in progresses.items()
        if progress.phase == "done" and progress.what == "pull" and progress.at
    }
    if not ended:
        return ""
    model = max(ended, key=lambda model: ended[model].at)
    return {"model": model, "at": ended[model].at, "text": ready_text(models[model])}


def ready_text(preset: ModelPreset) -> Text:
    """What is said once the weights of ``preset`` are here."""
    said = "ready" if is_here(preset) else "downloaded"
    return Text(f"pulls.is_{said}", model=short_name(preset))


def _fraction(progress: DownloadProgress) -> float:
    return round(progress.done / progress.total, 4) if progress.total else 0.0


def _words(said: Text) -> str:
    return html.escape(say(said))
