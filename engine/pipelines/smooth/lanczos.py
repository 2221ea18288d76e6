"""Larger pictures on any machine: FFmpeg's Lanczos filter, through PyAV. It invents nothing."""

import numpy as np

from engine.pipelines.base import Frame


class Lanczos:
    """Args: the size that comes out, in pixels."""

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width

    def enlarge(self, frame: Frame) -> Frame:
        """``frame``, uint8 RGB [height, width, 3], in that size; one that has it is that very
        array."""
        from av import VideoFrame
        from av.video.reformatter import Interpolation

        if frame.shape[:2] == (self._height, self._width):
            return frame
        larger = VideoFrame.from_ndarray(frame, format="rgb24").reformat(
            width=self._width, height=self._height, interpolation=Interpolation.LANCZOS
        )
        return np.asarray(larger.to_ndarray(), np.uint8)
