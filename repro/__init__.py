"""A reproducible replication of DDF (CVPR 2021) and FDConv (CVPR 2025).

`repro.ops` holds the operators, `repro.nn` the layers, `repro.models` the networks, `repro.tasks`
and `repro.train` the experiments, `repro.report` the tables. Importing this package imports neither
Numba nor CUDA: only calling a kernel does.
"""

__version__ = "0.1.0"
