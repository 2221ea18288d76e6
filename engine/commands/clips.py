"""What there is: the library's clips, and what a file's receipt says."""

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import ExitCode
from engine.home import Home
from engine.library import reader_process
from engine.library.folder_sync import FolderSync
from engine.library.library import Clip, Library
from engine.library.mp4 import ClipError, shown_name
from engine.library.receipt import receipt_lines
from engine.process.console import say, tell, tell_json
from engine.store_repair import open_store
from engine.text import Text, begun


def report(clip: Clip, path: Path, as_json: bool) -> None:
    if as_json:
        tell_json(_placed(path, clip.receipt))
        return
    seconds = sum(clip.receipt["stages"].values())
    tell(path, f"seed {clip.receipt['seed']}, made in {seconds:.1f} s")


def _placed(path: Path, receipt: dict[str, Any], **more: str) -> dict[str, Any]:
    """A receipt with what is known of its file, whatever the receipt says of that itself."""
    known = {"path": str(path), **more}
    return known | receipt | known


def read(options: argparse.Namespace) -> int:
    try:
        file = options.file.absolute()
    except OSError as error:  # the current folder was removed
        name = shown_name(options.file.name)
        raise ClipError(Text("files.none", file=name), Text("files.check_path")) from error
    receipt = reader_process.receipt_of(file, file.name)
    if options.json:
        tell_json(_placed(file.resolve(), receipt))
    else:
        tell(*receipt_lines(receipt))
    return ExitCode.DONE


def _here(created: str) -> str:
    """A time of the store's (UTC) as it is here, with the difference from UTC."""
    try:
        return datetime.fromisoformat(created).astimezone().isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):  # a year that this system's clock doesn't know
        return created


def clips(options: argparse.Namespace) -> int:
    home = Home.find()
    store = open_store(home)
    library = Library(home, store)
    if store.mended:
        say(store.mended)
        FolderSync(library).scan()
    found = library.newest()
    store.close()
    if options.json:
        rows = [_placed(home.clips / c.file, c.receipt, created=c.created) for c in found]
        tell_json({"clips": rows})
        return ExitCode.DONE
    for clip in found:
        tell(f"{_here(clip.created)}  {clip.file}  {begun(clip.request.prompt)}")
    if not found:
        say('There are no clips yet. Make one: ./launch.sh generate "a red ball moves left"')
    return ExitCode.DONE
