"""CPU kernels, compiled by Numba at their first call. Importing this package imports Numba."""
