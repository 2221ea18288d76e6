"""Downloads on the page: what live.js draws into the cards of the Models tab while they run."""

from typing import Any

from engine.text import FileSize, Text
from engine.weights.downloads import Downloads
from engine.weights.progress import WORKING, DownloadProgress, progress_text

FILES_SHOWN = 6


def pulls_state(weights: Downloads) -> dict[str, Any]:
    """The running work by model, and one mark that changes when some begins or ends."""
    progresses = {preset.id: weights.progress(preset.id) for preset in weights.models}
    running = {
        model: progress for model, progress in progresses.items() if progress.phase in WORKING
    }
    ends = [
        f"{model} {progress.what} {0 if model in running else progress.at}"
        for model, progress in progresses.items()
    ]
    return {
        "pulls": {model: pull_state(progress) for model, progress in running.items()},
        "weights": ", ".join(ends),
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
        "fraction": round(progress.done / progress.total, 4) if progress.total else 0.0,
        "files": told,
    }
