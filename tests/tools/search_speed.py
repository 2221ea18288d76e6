"""How long a search takes: ``.venv/bin/python -m tests.tools.search_speed`` (10,000 clips).

Prints the seconds of the migration that folds the prompts, and those of a search that finds few.
"""

import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from engine.home import Home
from engine.library.library import Library, Query, add_clip
from engine.store import Store, m008_search
from tests.support.clipfiles import receipt

CLIPS, TURNS = 10_000, 20
WORDS = "İstanbul'da bir kedi, Straße, नमस्ते दुनिया, น้ำตกสีแดง, 红色的球 "


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.create()
        store = Store(home.database)
        with store.transaction() as db:
            for number in range(CLIPS):
                told = receipt(f"{number} {WORDS * 5}")
                add_clip(db, None, f"2026-01-01T{number:09}", f"{number}.mp4", told)
        begun = time.perf_counter()
        for _ in range(TURNS):
            Library(home, store).page(Query("istanbul 777 strasse"))
        sys.stdout.write(f"a search: {(time.perf_counter() - begun) / TURNS * 1000:.1f} ms\n")
        store.close()
        db = sqlite3.connect(home.database)
        db.execute("alter table clips drop column folded")
        begun = time.perf_counter()
        m008_search(db)
        sys.stdout.write(f"the migration: {time.perf_counter() - begun:.2f} s\n")
        db.close()


if __name__ == "__main__":
    main()
