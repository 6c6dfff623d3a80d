"""See what distillation data carries, catch it, stop it: `python -m subliminal_mlx --help`; README.md says what each room is for."""

import os

# Read once, when NumPy is first imported, so it is set before any module of ours does. Two threads that wait for each
# other over small matrices make an audit on a busy machine four times as long; MLX has its own (`system.runtime`).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
