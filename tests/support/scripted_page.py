"""``app.py`` whose default model is the scripted one: there is nothing to load before a fault."""

import sys

from app import serve
from engine import presets
from engine.commands.main import main

if __name__ == "__main__":
    presets.DEFAULT_MODEL = "scripted"
    sys.exit(main(sys.argv[1:], serve))
