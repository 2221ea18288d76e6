"""Two buffers on the device: while one block computes, the next one is copied."""

from collections.abc import Sequence

from ..ops.utils import WeightModule


class WeightAsyncStreamManager:
    """Fault: after an exception between two blocks the buffers hold later ones than the next run
    takes them for, and ``need_init_first_buffer`` says that all is well."""

    def __init__(self, offload_granularity: str) -> None:
        self.offload_granularity = offload_granularity
        self.need_init_first_buffer = True
        self.cpu_buffers: list[WeightModule] = []

    def init_cuda_buffer(self, blocks_cuda_buffer: Sequence[WeightModule]) -> None:
        self.cuda_buffers = list(blocks_cuda_buffer)

    def init_cpu_buffer(self, blocks_cpu_buffer: Sequence[WeightModule]) -> None:
        self.cpu_buffers = list(blocks_cpu_buffer)

    def init_first_buffer(self, blocks: Sequence[WeightModule]) -> None:
        first = self.cpu_buffers[0] if self.cpu_buffers else blocks[0]
        self.cuda_buffers[0].load_state_dict(first.state_dict(), 0)
        self.need_init_first_buffer = False

    def prefetch_weights(self, block_index: int, blocks: Sequence[WeightModule]) -> None:
        source = self.cpu_buffers[0] if self.cpu_buffers else blocks[block_index]
        self.cuda_buffers[1].load_state_dict(source.state_dict(), block_index)

    def swap_blocks(self) -> None:
        self.cuda_buffers.reverse()

    def start_prefetch_block(self, block_index: int) -> None:
        self.cpu_buffers[1].load_state_dict_from_disk(block_index)

    def swap_cpu_buffers(self) -> None:
        self.cpu_buffers.reverse()
