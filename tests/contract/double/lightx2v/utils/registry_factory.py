"""Classes by the names that settings call them."""

from collections.abc import Callable
from typing import Any, TypeVar

Registered = TypeVar("Registered", bound=type[Any])


class Register(dict[str, Any]):
    """``@REGISTER("name")`` above a class."""

    def __call__(self, name: str) -> Callable[[Registered], Registered]:
        def keep(target: Registered) -> Registered:
            self[name] = target
            return target

        return keep


RUNNER_REGISTER = Register()
MM_WEIGHT_REGISTER = Register()
ATTN_WEIGHT_REGISTER = Register()
# Nothing of theirs is here: the transformer computes its norms and its rotation in plain PyTorch.
RMS_WEIGHT_REGISTER = Register()
LN_WEIGHT_REGISTER = Register()
ROPE_REGISTER = Register()
