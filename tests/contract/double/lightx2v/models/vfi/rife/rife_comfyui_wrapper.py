"""What LightX2V's own runners call: a whole clip in, a whole clip out."""

import torch
from lightx2v.models.vfi.rife.train_log.IFNet_HDv3 import IFNet
from torch.nn import functional


class RIFEWrapper:
    def __init__(self, model_path: str, device: torch.device | None = None) -> None:
        self.flownet = IFNet()
        saved = torch.load(model_path, map_location="cpu")
        found = {name.replace("module.", ""): tensor for name, tensor in saved.items()}
        self.flownet.load_state_dict(found, False)

    @torch.no_grad()
    def interpolate_frames(
        self, images: torch.Tensor, source_fps: float, target_fps: float
    ) -> torch.Tensor:
        height, width = images.shape[1:3]
        fill = (0, -width % 128, 0, -height % 128)
        made = []
        for index in range(int((len(images) - 1) / source_fps * target_fps) + 1):
            place = index / target_fps * source_fps
            first, share = int(place), place - int(place)
            if not share:
                made.append(images[first])
                continue
            two = images[first : first + 2].permute(0, 3, 1, 2)
            pair = functional.pad(two, fill).reshape(
                1,
                6,
                *(
                    side + more
                    for side, more in zip((height, width), (fill[3], fill[1]), strict=True)
                ),
            )
            between = self.flownet(pair, share, [16, 8, 4, 2, 1])[2][-1]
            made.append(between[0, :, :height, :width].permute(1, 2, 0))
        return torch.stack(made)
