"""Smoother clips: frames between a clip's own, so that it has 24 to 60 a second.

``timing.timing_of`` plans which source frames each output frame lies between; an ``Interpolator``
(base.py) makes them from a stream of frames, a few at a time::

    times, end = steady(81, 16)  # or the times of a file's frames
    timing = timing_of(times, end, 32)
    for frame in Motion().frames(decoded, timing, check):
        ...  # the frame i begins at i / timing.rate; the last is shown for timing.last seconds

``motion.Motion()`` runs on any machine. It shows a source frame as it is at its own time, and the
nearer one where the scene is cut (cuts.py) or nothing changes. What a program may be told of it is
a ``SmoothError``, a ``MemoryError``, or what ``check`` raises.
"""
