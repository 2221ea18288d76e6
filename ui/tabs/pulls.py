"""Downloads on the page: what live.js draws into the cards of the Set-up tab while they run."""

from typing import Any

from engine.units import size_text
from engine.weights.downloads import Downloads
from engine.weights.progress import WORKING, Tally, tally_text

FILES_SHOWN = 6


def pulls_state(weights: Downloads) -> dict[str, Any]:
    """The running work by model, and one text that changes when some begins or ends."""
    tallies = {preset.id: weights.tally(preset.id) for preset in weights.models}
    running = {model: tally for model, tally in tallies.items() if tally.phase in WORKING}
    ends = [
        f"{model} {tally.what} {0 if model in running else tally.at}"
        for model, tally in tallies.items()
    ]
    return {
        "pulls": {model: pull_state(tally) for model, tally in running.items()},
        "weights": ", ".join(ends),
    }


def pull_state(tally: Tally) -> dict[str, Any]:
    """One card's progress: the total, and the files that are on their way."""
    moving = [f for f in tally.files if 0 < f.done < f.bytes]
    done = sum(file.done == file.bytes for file in tally.files)
    told = [
        f"{file.path.rpartition('/')[2]}: {100 * file.done // file.bytes} % of "
        f"{size_text(file.bytes)}"
        for file in moving[:FILES_SHOWN]
    ]
    if tally.files:
        word = "checked" if tally.what == "verify" else "here"
        told.append(f"{done} of {len(tally.files)} files are {word}.")
    return {
        "text": tally_text(tally),
        "fraction": round(tally.done / tally.total, 4) if tally.total else 0.0,
        "files": told,
    }
