"""The receipt's second place in an MP4: a top-level ``uuid`` box with an XMP packet.

Chat programs rewrite ``moov`` and drop the tags in it; a box beside it they pass on. Players skip
boxes that they don't know (ISO/IEC 14496-12, 4.2). The packet's form is ISO 16684-1's, the box's
identifier XMP's own (its part 3, 2.3.2).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape, unescape

BOX = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
NAMESPACE = "https://headroom.example/ns/receipt/1.0/"
LONGEST = 2**20  # bytes of a packet; ours have a few thousand
BOXES = 10_000  # a damaged file may seem to hold any number of them
_OPEN, _CLOSE = "<headroom:receipt>", "</headroom:receipt>"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:headroom="{namespace}">
   {open}{text}{close}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def append(path: Path, text: str) -> None:
    """Put ``text`` (without control characters) into a box at the end of the MP4 at ``path``.

    Raises:
        OSError: the disk is full.
    """
    packet = _PACKET.format(namespace=NAMESPACE, open=_OPEN, text=escape(text), close=_CLOSE)
    data = packet.encode()
    with path.open("ab") as file:
        file.write(struct.pack(">I4s16s", 24 + len(data), b"uuid", BOX) + data)


def read(path: Path) -> str | None:
    """The text that ``append`` wrote into the MP4 at ``path``; None if there is none.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        for kind, size in _boxes(file):
            if kind != b"uuid" or not 16 <= size <= LONGEST or file.read(16) != BOX:
                continue
            packet = file.read(size - 16).decode("utf-8", "replace")
            _, found, rest = packet.partition(_OPEN)
            text, closed, _ = rest.partition(_CLOSE)
            if found and closed:
                return unescape(text)
    return None


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and content's bytes of each top-level box; the file stands at its content."""
    end = file.seek(0, 2)
    at = 0
    for _ in range(BOXES):
        if at + 8 > end:
            return
        file.seek(at)
        head = file.read(8)
        size, kind = struct.unpack(">I4s", head)
        start = 8
        if size == 1:  # a box of 4 GB and more
            size, start = int.from_bytes(file.read(8)), 16
        elif size == 0:  # the last one, to the file's end
            size = end - at
        if size < start:
            return
        yield kind, size - start
        at += size
