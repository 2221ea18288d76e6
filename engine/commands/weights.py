"""The weights command: what is here, what is missing, and the work that mends it, followed here."""

import time
from collections.abc import Callable
from typing import Any

from engine.doctor.doctor import usable
from engine.engine import Engine
from engine.errors import ExitCode, HeadroomError
from engine.guard.verdict import Word
from engine.presets import ModelPreset
from engine.text import NOTHING, Text, listed, programs
from engine.units import size_text
from engine.weights.download import What
from engine.weights.downloads import Downloads
from engine.weights.progress import WORKING, DownloadProgress, progress_text
from engine.weights.state import Weights, weights_text

LOOK_SECONDS = 0.1
SPEAK_SECONDS = 10.0

Say = Callable[[str], None]
Result = dict[str, Any]


class NoSuchWeights(HeadroomError):
    """The command line names a model that has none, or none at all."""

    exit_code = ExitCode.BAD_INPUT


class WeightsFailed(HeadroomError):
    """A download or a verification ended without what it was for."""

    exit_code = ExitCode.SETUP_MISSING


def run(
    engine: Engine, action: str, model: str | None, folder: str | None, say: Say
) -> tuple[int, Result]:
    """Do ``action``: list, pull or verify.

    Args:
        model: its id; without one pull takes what suits this machine, the others take all.
        folder: one to use, for pull.

    Returns:
        the exit code, and what ``--json`` prints.

    Raises:
        HeadroomError: with the remedy.
    """
    weights = engine.downloads
    if folder is not None and action != "pull":
        raise NoSuchWeights(Text("weights.from_is_for_pull"), Text("weights.leave_it_out"))
    if model is not None and model not in engine.presets.models:
        known = Text("weights.choose_among", models=listed(*engine.presets.models))
        raise NoSuchWeights(Text("weights.no_such_model", model=model), known)
    if action == "list":
        models = [model] if model else [preset.id for preset in engine.presets.with_files]
        return ExitCode.DONE, {"models": [as_json(engine, name) for name in models]}
    if model is not None and not engine.presets.models[model].weights:
        name = engine.presets.models[model].name
        raise NoSuchWeights(
            Text("weights.come_with_the_program", model=name), Text("weights.nothing_to_do")
        )
    if action == "verify":
        return _verify(weights, [model] if model else None, say)
    chosen = model or suited(engine).id
    return _pull(engine, chosen, folder, say)


def suited(engine: Engine) -> ModelPreset:
    """The model that ``pull`` takes unless told otherwise: the smallest that this machine can run,
    where it can run any."""
    models = [preset for preset in engine.downloads.models if not preset.changes_clips]
    if not models:
        raise NoSuchWeights(Text("weights.nothing_to_fetch"), Text("weights.nothing_to_do"))

    def rank(preset: ModelPreset) -> tuple[bool, int]:
        impossible = usable(engine, preset.id).word is Word.IMPOSSIBLE
        return impossible, sum(file.bytes for file in preset.weights)

    return min(models, key=rank)


def as_json(engine: Engine, model: str) -> Result:
    """One model's weights, as ``list`` prints them."""
    preset, weights = engine.presets.models[model], engine.downloads
    seen, progress, verdict = weights.look(model), weights.progress(model), usable(engine, model)
    return {
        "model": model,
        "name": preset.name,
        "state": seen.state,
        "percent": seen.percent,
        "bytes_total": seen.total,
        "bytes_present": seen.present,
        "bytes_missing": seen.missing,
        "bytes_needed": seen.needed,
        "bytes_free": seen.free,
        "fits": seen.fits,
        "working": progress.what if progress.phase in WORKING else None,
        "folder": str(seen.folder) if preset.weights else preset.checkpoint,
        "linked": [str(other) for other in seen.linked],
        "linked_but_gone": [str(other) for other in seen.gone],
        "found_elsewhere": [str(other) for other in weights.offers(model)],
        "damaged": [str(file) for file in seen.damaged],
        **_problem(seen),
        "verdict": verdict.word.value,
        **programs("reason", verdict.reason),
        "parts": [
            {
                "role": part.role,
                "state": part.state,
                "bytes_total": part.total,
                "bytes_present": part.present,
                "repo": part.repo,
                "path": part.path,
                "place": str(part.place) if part.place else None,
                "shared_with": part.shared_with or None,
            }
            for part in (*seen.parts, *seen.extras)
        ],
    }


def _problem(seen: Weights) -> Result:
    """What is wrong with damaged files; None where nothing is."""
    return programs("problem", seen.told) if seen.told else {"problem": None}


def lines(action: str, result: Result) -> list[str]:
    """``result`` for a person."""
    if action == "list":
        return [line for entry in result["models"] for line in _listed(entry)]
    if action == "verify":
        return [
            f"{entry['model']}: "
            + ("; ".join(f"{file} is damaged" for file in entry["damaged"]) or entry["said"])
            for entry in result["models"]
        ]
    return [f"{result['model']} is {result['state']} in {result['folder']}."]


def _listed(entry: Result) -> list[str]:
    sizes = f"{size_text(entry['bytes_present'])} of {size_text(entry['bytes_total'])}"
    state = f"{entry['state']}, {sizes}" if entry["parts"] else "comes with Headroom"
    told = [f"{entry['model']}: {state}. Here it is {entry['verdict']}: {entry['reason']}"]
    told += [
        f"  {part['role']}: {part['state']}, {part['path']} of {part['repo']}, "
        f"{size_text(part['bytes_total'])}"
        for part in entry["parts"]
    ]
    told += [f"  damaged: {file}" for file in entry["damaged"]]
    gone = entry["linked_but_gone"]
    told += [
        f"  linked{', but gone' if folder in gone else ''}: {folder}" for folder in entry["linked"]
    ]
    told += [f"  found, use it with --from: {folder}" for folder in entry["found_elsewhere"]]
    if entry["bytes_missing"]:
        told.append(
            f"  a download needs {size_text(entry['bytes_needed'])} on the drive (2 GB of it to "
            f"spare); {size_text(entry['bytes_free'])} free"
        )
    return told


# ---- pull and verify -----------------------------------------------------------------------


def _pull(engine: Engine, model: str, folder: str | None, say: Say) -> tuple[int, Result]:
    weights, preset = engine.downloads, engine.presets.models[model]
    if folder is not None:
        for found in weights.use(model, folder):
            say(f"Using {found}; nothing is copied.")
    seen, verdict = weights.look(model), usable(engine, model)
    say(f"{preset.name}: {weights_text(seen)}; {size_text(seen.free)} free on the drive.")
    if verdict.word is Word.IMPOSSIBLE:
        say(f"This machine can't use it: {verdict.reason}")
    begun = time.monotonic()
    progress = _follow(weights, model, "pull", say)
    seen = weights.look(model)
    _refuse_unless_done(progress, seen, Text("weights.pull_again", model=model))
    return ExitCode.DONE, {
        "model": model,
        "state": seen.state,
        "folder": str(seen.folder),
        "bytes_total": seen.total,
        "bytes_fetched": progress.fetched,
        "seconds": round(time.monotonic() - begun, 2),
        "linked": [str(other) for other in seen.linked],
    }


def _verify(weights: Downloads, models: list[str] | None, say: Say) -> tuple[int, Result]:
    """Hash what is here; models of which nothing is here are left out unless they were named."""
    named = models or [preset.id for preset in weights.models if weights.look(preset.id).present]
    checked: list[Result] = []
    good = True
    for model in named:
        progress = _follow(weights, model, "verify", say)
        seen = weights.look(model)
        if progress.phase != "done":
            _refuse_unless_done(progress, seen, Text("weights.verify_again"))
        damaged, whole = list(progress.damaged), seen.state == "ready"
        said = Text("weights.as_promised")
        if progress.unknown:
            said = Text("weights.no_checksum_of", files=listed(*progress.unknown))
        if not whole and not damaged:
            said = Text("weights.right_but", state=weights_text(seen))
        good = good and whole and not damaged
        checked.append(
            {
                "model": model,
                "state": seen.state,
                "files": len(progress.files),
                "damaged": damaged,
                "unknown": list(progress.unknown),
                **_problem(seen),
                **programs("said", said),
            }
        )
        if damaged:
            say(f"weights pull --model {model} downloads only the damaged files again.")
    if not named:
        say("There are no weights to verify yet; weights pull downloads them.")
    return ExitCode.DONE if good else ExitCode.SETUP_MISSING, {"ok": good, "models": checked}


def _follow(weights: Downloads, model: str, what: What, say: Say) -> DownloadProgress:
    """Work on ``model`` until the end; whoever is at it already is followed first.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the work was ended in order.
    """
    mine = True
    try:
        while True:
            before = weights.progress(model)
            mine = before.phase not in WORKING
            if not mine:
                say(f"Another Headroom is already doing this ({before.what}); following it.")
            weights.start(model, what)
            progress = _watch(weights, model, say)
            if mine or progress.what == what or progress.phase != "done":
                return progress
    except KeyboardInterrupt:
        if mine:
            weights.pause(model)
            say("Paused. What was downloaded is kept; run the same command to continue.")
        raise


def _watch(weights: Downloads, model: str, say: Say) -> DownloadProgress:
    """Tell each file that is here, and the whole at every percent and every few seconds."""
    told, spoke = (-1, NOTHING), 0.0
    whole: set[str] = set()
    while (progress := weights.progress(model)).phase in WORKING:
        here = {file.path for file in progress.files if file.done == file.bytes}
        if progress.phase == "fetching":
            for path in sorted(here - whole) if whole else ():
                say(f"{path} is complete.")
            whole = here
        now = time.monotonic()
        if (progress.percent, progress.told) != told or now - spoke > SPEAK_SECONDS:
            told, spoke = (progress.percent, progress.told), now
            say(str(progress_text(progress)))
        time.sleep(LOOK_SECONDS)
    return progress


def _refuse_unless_done(progress: DownloadProgress, seen: Weights, remedy: Text) -> None:
    if progress.phase == "done" and seen.state == "ready":
        return
    if progress.phase == "done":
        told = seen.told or Text("weights.they_are", state=weights_text(seen))
        raise WeightsFailed(told, seen.remedy or remedy)
    if progress.phase == "paused":
        raise WeightsFailed(Text("weights.paused_at", percent=progress.percent), remedy)
    raise WeightsFailed(progress.told, progress.remedy)
