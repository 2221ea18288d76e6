"""The kernel test: a process of its own, without weights, so that nothing it breaks is missed."""
