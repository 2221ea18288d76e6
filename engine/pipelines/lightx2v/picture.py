"""What a clip begins and ends with, as the transformer gets it: encoded four frames at a time.

LightX2V encodes a whole video of which all but those pictures is zeros: it holds every frame on the
GPU, and computes the same again and again once nothing of the first picture is left to be seen.
"""

from collections.abc import Callable
from typing import Any

import torch

from engine.pipelines.base import Pictures
from engine.pipelines.lightx2v import repairs
from engine.pipelines.lightx2v.decode import lay_out
from engine.pipelines.lightx2v.remembering import remembering
from engine.request import Size
from engine.stages import Frames

STRIDE = 8  # pixels to a latent, in height and width


class PictureEncoder:
    """Takes the place of ``runner``'s way to read its input; to be made before its modules are.

    Args:
        begins, ends: called before the pictures, which come after the text, and behind them.
        going: called before each piece with the share of the frames that is encoded; what it raises
            ends the encoding.
        cuda: whether the VAE runs on a GPU.
    """

    def __init__(
        self,
        runner: Any,
        begins: Callable[[], None],
        ends: Callable[[], None],
        going: Callable[[float], None],
        cuda: bool,
    ) -> None:
        self._runner, self._begins, self._ends = runner, begins, ends
        self._going, self._cuda = going, cuda
        self._pictures, self._size, self._tiled = Pictures(), Size(0, 0, 0), False
        self._load: Callable[[], Any] = runner.load_vae_encoder  # LightX2V's own way
        runner.load_vae_encoder = self._loaded
        runner._run_input_encoder_local_i2v = self._inputs
        # In place of a tensor of all frames; the second is its plan for several GPUs.
        runner._build_vae_encoder_input = lambda first, last, *_: (self._video(first, last), None)

    def take(self, pictures: Pictures, size: Size, tiled: bool = False) -> None:
        """Encode these from now on, in ``tiled`` pieces where the VAE decodes so.

        Raises:
            ValueError: there is no first one, or they aren't of this size.
        """
        if pictures.first is None:
            raise ValueError("there is no first picture")
        for picture in (pictures.first, pictures.last):
            if picture is not None and picture.shape != (size.height, size.width, 3):
                raise ValueError(f"a picture of {picture.shape} for a clip of {size}")
        self._pictures, self._size, self._tiled = pictures, size, tiled

    def encode(self) -> torch.Tensor:
        """[20, latent frames, height / 8, width / 8]: a mask of four and the latent of sixteen, as
        LightX2V puts them together.

        Raises:
            Cancelled: by ``going``.
        """
        assert self._pictures.first is not None
        first = as_tensor(self._pictures.first)
        last = None if self._pictures.last is None else as_tensor(self._pictures.last)
        rows, columns = self._size.height // STRIDE, self._size.width // STRIDE
        try:
            found: torch.Tensor = self._runner.get_vae_encoder_output(first, rows, columns, last)
        except BaseException:
            repairs.reset_encoder(self._runner)
            raise
        return found

    def _inputs(self) -> dict[str, Any]:
        """What LightX2V's own would give; but the text comes first, and the pictures, which it
        would read from files, are here."""
        runner, info = self._runner, self._runner.input_info
        info.latent_shape = runner.get_latent_shape_with_target_hw()
        text = runner.run_text_encoder(info)
        self._begins()
        found: dict[str, Any] = runner.get_encoder_output_i2v(None, self.encode(), text)
        self._ends()
        return found

    def _video(self, first: torch.Tensor, last: torch.Tensor | None) -> "ZerosBetween":
        return ZerosBetween(first, last, self._size.frames, self._asked)

    def _asked(self, share: float) -> None:
        self._going(0.0 if self._tiled else share)  # each tile has all of the frames

    def _loaded(self) -> Any:
        vae = self._load()
        encode = vae.encode

        def in_pieces(video: Any, **more: Any) -> Any:
            if self._cuda:
                lay_out(vae.model)  # before the first clip, too: it would else be rounded otherwise
            vae.use_tiling = self._tiled  # LightX2V's setting is from when it was loaded
            with remembering(vae.model.encoder):
                return encode(video, **more)

        vae.encode = in_pieces
        return vae


def as_tensor(picture: Frames) -> torch.Tensor:
    """[1, 3, height, width] from -1 to 1, as LightX2V makes it of a file's picture."""
    pixels = torch.tensor(picture).permute(2, 0, 1).contiguous()
    return pixels.float().div_(255).sub_(0.5).div_(0.5).unsqueeze(0)


class ZerosBetween:
    """A video that isn't there until its frames are asked for: ``first``, zeros, and ``last`` where
    there is one. LightX2V's VAE takes it for a tensor, of which it asks for a few frames at a time.

    Args:
        first: [1, 3, height, width].
        asked: called whenever frames are asked for, with the share of the frames before them.
    """

    def __init__(
        self,
        first: torch.Tensor,
        last: torch.Tensor | None,
        frames: int,
        asked: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._first, self._last, self._asked = first, last, asked
        self.shape = torch.Size((*first.shape[:2], frames, *first.shape[2:]))

    def to(self, device: Any, dtype: torch.dtype) -> "ZerosBetween":
        """The same with its frames there, in this type."""
        last = None if self._last is None else self._last.to(device, dtype)
        return ZerosBetween(self._first.to(device, dtype), last, self.shape[2], self._asked)

    def __getitem__(self, wanted: tuple[slice, ...]) -> torch.Tensor:
        begin, end, _ = wanted[2].indices(self.shape[2])
        self._asked(begin / self.shape[2])
        frames = self._first.new_zeros((*self.shape[:2], end - begin, *self.shape[3:]))
        for at, picture in ((0, self._first), (self.shape[2] - 1, self._last)):
            if picture is not None and begin <= at < end:
                frames[:, :, at - begin] = picture
        return frames[(slice(None), slice(None), slice(None), *wanted[3:])]
