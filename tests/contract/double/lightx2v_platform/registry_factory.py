"""Devices by name; tests/contract/cpu registers the only one that the double runs on."""

from typing import Any

PLATFORM_DEVICE_REGISTER: dict[str, Any] = {}
