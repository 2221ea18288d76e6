"""What is done with many clips at once: each is tried, and those that can't be are named.

One transaction for all of them: a write to the disk for each would take seconds.
"""

from collections.abc import Callable, Iterable

from engine.errors import HeadroomError
from engine.library.library import Clip, Library, LibraryError
from engine.text import Text

Failures = dict[int, HeadroomError]  # by the clip's number, why it stays as it was


def favourite(library: Library, numbers: Iterable[int], on: bool) -> Failures:
    """Mark them as favourites, or no longer.

    Raises:
        StoreError: none was changed.
    """
    failed: Failures = {}
    with library.store.transaction() as db:
        for number in dict.fromkeys(numbers):
            change = "update clips set favourite = ? where id = ?"
            if db.execute(change, (int(on), number)).rowcount == 0:
                failed[number] = LibraryError(Text("library.gone"), Text("library.reload"))
    return failed


def trash(library: Library, numbers: Iterable[int]) -> Failures:
    """Delete them as ``Library.trash`` does.

    Raises:
        StoreError: files that were moved until then are found by the next scan.
    """
    return _each(library, numbers, library.moved_to_trash)


def restore(library: Library, numbers: Iterable[int]) -> Failures:
    """Take them back out of the trash; raises as ``trash``."""
    return _each(library, numbers, library.moved_back)


def _each(
    library: Library, numbers: Iterable[int], move: Callable[[Clip], Clip | None]
) -> Failures:
    failed: Failures = {}
    moved: list[Clip | None] = []
    with library.moving:
        try:
            for number in dict.fromkeys(numbers):
                try:
                    moved.append(move(library.found(number)))
                except HeadroomError as error:
                    failed[number] = error
        finally:  # whatever happens, a row says where its file is
            library.write(*moved)
    return failed
