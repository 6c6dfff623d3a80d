"""The queue's two processes: `python -m subliminal_mlx.jobs LAB` takes jobs, with a run's id it does one."""

import sys
from pathlib import Path

if __name__ == "__main__":
    lab, *rest = sys.argv[1:]
    if rest:
        from .work import work

        work(Path(lab), rest[0], tuple(map(int, rest[1:])))
    else:
        from .dispatch import dispatch

        dispatch(Path(lab))
