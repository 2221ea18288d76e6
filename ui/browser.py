"""Opens the page in the user's browser, and lets no browser hold up the program."""

import os
import shlex
import shutil
import threading
import webbrowser
from pathlib import Path

# They run in the terminal until somebody quits them, and know no JavaScript.
TEXT_BROWSERS = {"w3m", "lynx", "links", "links2", "elinks", "www-browser", "browsh", "netrik"}


def open_page(url: str) -> str:
    """Open ``url``; returns a sentence where it can't be, else nothing.

    Whatever the browser is, it is started by a thread of its own: some commands end only when the
    browser does.
    """
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return "No browser was found here: open the address in one."
    name = _program(browser)
    if name in TEXT_BROWSERS:
        return f"The page needs a browser with JavaScript, and {name} has none: open it in another."
    threading.Thread(target=_open, args=(browser, url), name="browser", daemon=True).start()
    return ""


def _open(browser: webbrowser.BaseBrowser, url: str) -> None:
    try:
        browser.open(url)
    except (OSError, ValueError, webbrowser.Error):  # it is convenience only
        return


def _program(browser: webbrowser.BaseBrowser) -> str:
    """The name of the program behind ``browser``, with every link in it followed: Debian's
    www-browser is w3m or another."""
    command = str(getattr(browser, "name", "") or "")
    parts = shlex.split(command) if os.name != "nt" else [command]
    found = shutil.which(parts[0]) if parts else None
    return Path(os.path.realpath(found) if found else command).name.lower()
