"""The only entry: the page by default, the subcommands otherwise.

The worker is a spawned child that imports this file again, so nothing may happen at import.
"""

import sys


def main() -> int:
    try:
        from engine.commands import main as run
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"Headroom isn't set up: the package {error.name} is missing.\n"
            "Start it with ./launch.sh (launch.bat on Windows), which installs what it needs.\n"
        )
        return 5
    except KeyboardInterrupt:  # while it is still being read
        return 130
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
