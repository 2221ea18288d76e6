"""``app.py adapters``: lists, takes in, downloads and removes LoRAs; and what ``--lora`` names."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.adapters.pull import offered, pull, read_place
from engine.adapters.store import AdapterEntry, Adapters
from engine.commands.values import a_name
from engine.errors import ExitCode, HeadroomError
from engine.home import Home, free_bytes
from engine.presets import ModelPreset, Presets, load_presets
from engine.process.console import one_line, say, tell, tell_json
from engine.text import FileSize, Text, listed, programs
from engine.units import size_text

Result = dict[str, Any]
OPTION: dict[str, Any] = {  # of ``generate --lora``
    "metavar": "FILE[:STRENGTH]",
    "action": "append",
    "type": a_name,
    "default": [],
    "help": "a LoRA, by its file or its name; once for each",
}


class AdapterInputError(HeadroomError):
    """The command line doesn't fit together."""

    exit_code = ExitCode.BAD_INPUT


def command(options: argparse.Namespace) -> int:
    """The subcommand; returns the exit code."""
    action: str = options.action
    result = run(Adapters(Home.find()), load_presets(), action, options.what, options)
    if options.json:
        tell_json(result)
    else:
        tell(*lines(action, result))
    return ExitCode.DONE


def run(
    store: Adapters, presets: Presets, action: str, what: str | None, options: argparse.Namespace
) -> Result:
    """Do ``action``: list, add, pull or remove.

    Args:
        what: a file to add, a repository, or an entry to remove.
        options: ``name``, what a new file is called in the folder; ``model``, whose fit is told,
            that of each which takes LoRAs without one.

    Returns:
        what ``--json`` prints.

    Raises:
        HeadroomError: with the remedy.
    """
    models = _models(presets, options.model)
    if action == "list":
        if what is not None:
            raise AdapterInputError(
                Text("adapters.list_takes_nothing"), Text("adapters.leave_it_out", what=what)
            )
        entries = store.entries()
        return {
            "folder": str(store.folder),
            "adapters": [as_json(entry, models) for entry in entries],
        }
    if what is None:
        raise AdapterInputError(Text("adapters.say_which"), Text(f"adapters.how_to_{action}"))
    name = options.name or ""
    if action == "add":
        return as_json(store.add(Path(what), name), models)
    if action == "pull":
        pulled = _pull(store, what, name)
        return {"adapters": [as_json(entry, models) for entry in pulled]}
    entry = store.find(what)
    store.remove(entry)
    return as_json(entry, [])


def _pull(store: Adapters, what: str, name: str) -> tuple[AdapterEntry, ...]:
    files = offered(read_place(what))
    size, free = FileSize(sum(one.bytes for one in files)), FileSize(free_bytes(store.folder))
    say(
        Text(
            "adapters.will_fetch", files=listed(*(one.path for one in files)), size=size, free=free
        )
    )
    percent = -1

    def told(done: int, total: int) -> None:
        nonlocal percent
        if total and 100 * done // total != percent:
            percent = 100 * done // total
            say(f"{percent} %, {size_text(done)} of {size_text(total)}")

    try:
        return pull(store, files, name, told, say)
    except KeyboardInterrupt:
        say("Paused. What was downloaded is kept; run the same command to continue.")
        raise


def _models(presets: Presets, model: str | None) -> list[ModelPreset]:
    takers = [preset for preset in presets.with_files if preset.adapters]
    if model is None:
        return takers
    if model not in presets.models:
        known = Text("weights.choose_among", models=listed(*(one.id for one in takers)))
        raise AdapterInputError(Text("weights.no_such_model", model=model), known)
    return [presets.models[model]]


def as_json(entry: AdapterEntry, models: Sequence[ModelPreset]) -> Result:
    """One entry, and whether each of ``models`` can use it."""
    fits: Result = {}
    for preset in models:
        fit = entry.fit(preset)
        counts = {"matched": fit.matched, "unmatched": fit.unmatched}
        told = programs("told", fit.told) if fit.told else {"told": None}
        fits[preset.id] = {"fits": fit.fits, **counts, **told}
    return {
        "name": entry.name,
        "files": [
            {"file": file.path.name, "sha256": file.sha256, "noise": file.noise}
            for file in entry.files
        ],
        "bytes": entry.bytes,
        "title": next((lora.title for lora in entry.loras if lora.title), ""),
        "base_model": next((lora.base for lora in entry.loras if lora.base), ""),
        "ranks": sorted({rank for lora in entry.loras for rank in lora.ranks}),
        "triggers": list(entry.triggers),
        "problem": None if entry.problem is None else str(entry.problem),
        "models": fits,
    }


def lines(action: str, result: Result) -> list[str]:
    """``result`` for a person."""
    if action in ("list", "pull"):
        entries: list[Result] = result["adapters"]
        if not entries:
            return [f"There are no LoRAs in {result['folder']}."]
        return [line for entry in entries for line in _listed(entry)]
    if action == "remove":
        return [f"Removed {one_line(entry['file'])}." for entry in result["files"]]
    return _listed(result)


def _listed(entry: Result) -> list[str]:
    ranks = ", ".join(map(str, entry["ranks"]))
    told = f"{one_line(entry['name'])}: {size_text(entry['bytes'])}"
    told += f", rank {ranks}" if ranks else ""
    found = [told]
    for file in entry["files"]:
        noise = f", for {file['noise']} noise" if file["noise"] else ""
        found.append(f"  {file['sha256'][:12]} {one_line(file['file'])}{noise}")
    if entry["triggers"]:
        found.append(f"  trigger words: {', '.join(entry['triggers'])}")
    if entry["base_model"]:
        found.append(f"  trained for: {entry['base_model']}")
    if entry["problem"]:
        return [*found, f"  {entry['problem']}"]
    for model, fit in entry["models"].items():
        found.append(f"  {model}: {fit['told'] or 'fits'}")
    return found
