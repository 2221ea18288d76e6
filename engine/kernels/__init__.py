"""The kernel test: which kernels this machine can call, how fast they are and whether they are
right, found out without any weights."""
