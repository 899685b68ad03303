"""CUDA kernels in Numba, and how they are compiled and launched. Imports nothing of `repro`."""
