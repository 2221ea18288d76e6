"""Opens the page in the user's browser, and lets no browser hold up the program."""

import logging
import os
import shlex
import shutil
import threading
import webbrowser
from pathlib import Path

log = logging.getLogger("headroom.page")

# They run in the terminal until somebody quits them, and know no JavaScript.
TEXT_BROWSERS = {"w3m", "lynx", "links", "links2", "elinks", "www-browser", "browsh", "netrik"}


def open_page(url: str) -> str:
    """Open ``url``; returns a sentence where it can't be, else nothing.

    Whatever the browser is, it is started by a thread of its own: some commands end only when the
    browser does.
    """
    try:
        browser = webbrowser.get()
        name, found = _program(browser)
    except webbrowser.Error:
        return "No browser was found here: open the address in one."
    except Exception:  # BROWSER holds what Python's module falls over; the page is up
        return "BROWSER isn't the command of a browser: open the address in one."
    if isinstance(browser, webbrowser.GenericBrowser) and not found:
        return "BROWSER names a program that isn't here: open the address in a browser."
    if name in TEXT_BROWSERS:
        return f"The page needs a browser with JavaScript, and {name} has none: open it in another."
    try:
        threading.Thread(target=_open, args=(browser, url), name="browser", daemon=True).start()
    except RuntimeError:  # the system gives no more threads
        return "No browser can be started now: open the address in one."
    return ""


def _open(browser: webbrowser.BaseBrowser, url: str) -> None:
    try:
        browser.open(url)
    except Exception:  # it is convenience only, and the page is up
        log.warning("the browser can't be started", exc_info=True)


def _program(browser: webbrowser.BaseBrowser) -> tuple[str, bool]:
    """The name of the program behind ``browser``, with every link in it followed, as Debian's
    www-browser is w3m or another; and whether it was found."""
    command = str(getattr(browser, "name", "") or "")
    try:
        parts = shlex.split(command) if os.name != "nt" else [command]
    except ValueError:  # a quote that nothing ends
        parts = []
    found = shutil.which(command) or (shutil.which(parts[0]) if parts else None)
    return Path(os.path.realpath(found) if found else command).name.lower(), bool(found)
