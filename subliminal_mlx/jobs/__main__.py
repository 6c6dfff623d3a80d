"""The jobs' processes, each with the locks it has inherited: `python -m subliminal_mlx.jobs LAB dispatch LOCK` takes
jobs, `python -m subliminal_mlx.jobs LAB ID LOCK ...` does one."""

import sys
from pathlib import Path

if __name__ == "__main__":
    lab, what, *held = sys.argv[1:]
    if what == "dispatch":
        from .dispatch import dispatch

        dispatch(Path(lab), int(held[0]))
    else:
        from .work import work

        work(Path(lab), what, tuple(map(int, held)))
