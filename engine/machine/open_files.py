"""How many files this process may have open: each connection, pipe and clip that is read is one."""

import contextlib
import sys

MOST = 65_536
# What macOS gives a process at the most, whatever its hard limit says (sys/syslimits.h: OPEN_MAX).
LEAST_ASKED = 10_240


def raise_limit() -> int:
    """Raise the soft limit to the hard one, to ``MOST`` at the most; returns what it is then.

    Desktops start programs with a soft limit of 1,024 or 256, for those that still call select().
    """
    if sys.platform == "win32":
        return MOST  # it counts handles, and has no such limit
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MOST if hard == unlimited else min(hard, MOST)
    for limit in (wanted, min(wanted, LEAST_ASKED)):
        if soft != unlimited and soft < limit:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                soft = limit
    return MOST if soft == unlimited else soft
