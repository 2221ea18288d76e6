"""``app.py``, but no model is loaded before somebody is about to ask for it: the CPU default's
packages take five seconds of a processor, which most pages of the tests never make a clip with."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # as app.py's own folder would be

import app  # noqa: E402
from ui import serve  # noqa: E402

if __name__ == "__main__":
    serve._ready_at_once = lambda engine: None
    sys.exit(app.main())
