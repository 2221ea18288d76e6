"""The only entry: the page by default, the subcommands otherwise.

The worker is a spawned child that imports this file again, so nothing may happen at import.
"""

import os
import signal
import sys
from typing import Any

from engine.process import terminal
from engine.process.console import say
from engine.process.variables import settle


def main() -> int:
    terminal.secure()
    # While packages are imported Ctrl-C ends this without a word: some would turn it into errors of
    # their own, and there is nothing yet to be kept.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for line in settle(os.environ):  # before a package reads them
        say(line)
    try:
        from engine.commands.main import main as run
    except ModuleNotFoundError as error:
        say(f"Headroom isn't set up: the package {error.name} is missing.")
        say("Start it with ./launch.sh (launch.bat on Windows), which installs what it needs.")
        return 5
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(sys.argv[1:], serve)


def serve(*options: Any, **more: Any) -> None:
    """The page: gradio takes seconds to import, and only this command needs it."""
    from ui.serve import serve as open_page

    open_page(*options, **more)


if __name__ == "__main__":
    sys.exit(main())
