"""What files made to hurt cost the reader: ``.venv/bin/python -m tests.tools.strange_files``.

Prints, for a bomb of H.264 with honest and with lying sides, and for a tag of 700 MB: the file's
size on disk, the peak of the reader's resident memory (Linux), and its seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.home import PROJECT
from tests.support.clipfiles import write
from tests.support.strange_files import bomb, with_comment, with_sides

SIDE, FRAMES, TAG = 15_360, 3, 700 * 2**20
CHILD = """
import json, resource, subprocess, sys
done = subprocess.run(
    [sys.executable, "-m", "engine.library.reader_process", sys.argv[1]],
    input=json.dumps([[sys.argv[2], sys.argv[3] or None]]).encode(), stdout=subprocess.PIPE)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([peak // 1024, done.stdout.decode().splitlines()[1:]]))
"""


def cost(what: str, path: Path) -> str:
    begun = time.monotonic()
    still = str(path.with_suffix(".jpg")) if what == "posters" else ""
    command = [sys.executable, "-c", CHILD, what, str(path), still]
    said = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout
    peak, answers = json.loads(said)
    told = json.loads(answers[0]).get("sentence", {}).get("id", "read") if answers else "ended"
    return f"{what}: {peak} MiB, {time.monotonic() - begun:.1f} s, {told}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        honest = bomb(Path(folder) / "honest.mp4", SIDE, FRAMES)
        lying = Path(folder) / "lying.mp4"
        lying.write_bytes(with_sides(honest.read_bytes(), 320, 240))
        plain = write(Path(folder) / "plain.mp4", None)
        tag = with_comment(Path(folder) / "tag.mp4", plain.read_bytes(), TAG)
        for path in (plain, honest, lying, tag):
            size = os.stat(path).st_blocks * 512
            sys.stdout.write(f"{path.stem}, {size} bytes on disk\n")
            for what in ("receipts", "posters"):
                sys.stdout.write(f"  {cost(what, path)}\n")


if __name__ == "__main__":
    main()
