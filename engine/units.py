"""Sizes in bytes, and how people read them."""

MIB, GIB = 2**20, 2**30


def gigabytes(count: int) -> str:
    """Bytes of memory as people read them: one decimal, GiB as memory is sold."""
    return f"{count / GIB:.1f} GB" if count >= GIB else f"{count / MIB:.0f} MB"


def size_text(count: int) -> str:
    """Bytes of a file as the hub and file managers tell them: decimal."""
    return f"{count / 1e9:.1f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"
