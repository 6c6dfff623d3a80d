"""A review's own process: `python -m subliminal_mlx.jobs.reviews LAB ID LOCK`."""

import sys
from pathlib import Path

from .work import work

if __name__ == "__main__":
    lab, review_id, lock = sys.argv[1:]
    work(Path(lab), review_id, int(lock))
