"""What of ours stands in LightX2V's registries, and how its settings name it."""

from engine.pipelines.lightx2v import kitchen
from engine.pipelines.lightx2v.fused import layers
from engine.plan.kernel_options import FUSED

# LightX2V's settings take names of its own list only: each product of ours goes by the name of the
# one whose weights it reads.
GO_BY = {kitchen.MATMUL: kitchen.STANDS_FOR, **FUSED}


def register() -> None:
    """Put all of it beside LightX2V's own; does nothing where it stands already.

    Whether its packages are here and its kernels can be called is for their trials to find out: a
    kernel that can't be imported fails there with its own words.
    """
    kitchen.register()
    layers.register()


def scheme_for(matmul: str) -> str:
    """What LightX2V's settings call ``matmul``."""
    return GO_BY.get(matmul, matmul)


def stand_in(matmul: str) -> None:
    """Have this process multiply with ``matmul`` where the settings name what it goes by."""
    from lightx2v.utils.registry_factory import MM_WEIGHT_REGISTER

    if matmul in GO_BY:
        MM_WEIGHT_REGISTER[GO_BY[matmul]] = MM_WEIGHT_REGISTER[matmul]
