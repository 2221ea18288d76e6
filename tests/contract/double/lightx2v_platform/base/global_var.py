"""The device of this process, settled at import as it is upstream."""

import os

from lightx2v_platform.registry_factory import PLATFORM_DEVICE_REGISTER

AI_DEVICE: str = PLATFORM_DEVICE_REGISTER[os.environ.get("PLATFORM", "cuda")].get_device()
