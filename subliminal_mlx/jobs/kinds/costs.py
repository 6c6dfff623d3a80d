"""How long an audit from a page takes on a language model, before anything of it is loaded or begun.

    told = seconds("smollm2-135m", ["animals"])             # None on model organisms, which take minutes
    words("smollm2-135m", ["animals"], quick=False, probes=False)

For what is kept already nothing is taken off: what may be started should not depend on what others did.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from ...audit import costs
from ...audit.request import asked_spec
from ...audit.spec import FIRST_LOOK, AuditSpec, on_language
from ...model.memory import sizes
from ...spec.corpus import words_of
from ...system.quantities import about_duration
from ..limits import GFLOPS, LIMITS

# Tokens of a row with its prompt where no file says more, and of what a chat template adds; bytes of a token.
ROW, TEMPLATE, TOKEN = 120, 40, 3
# What a row may have at most.
LONGEST = 2_048
SMALLER = "fewer families or rows, no probe students, or the command `audit`, which takes any time"


def seconds(
    base: str,
    families: Sequence[str],
    quick: bool = False,
    probes: bool = False,
    content: bytes | Path | None = None,
    scored: bool = False,
) -> float | None:
    """Estimated seconds at the rate that jobs are bounded by; None on a model organism.

    Args:
        content: the rows, as JSONL or Parquet; without them, or in another format, rows of ROW tokens.
        scored: all rows are scored, for a cleaned corpus.

    Raises:
        InputError: no such base or family.
    """
    if not on_language(base):
        return None
    spec = asked_spec(base, families, probes, (FIRST_LOOK,) if quick else ())
    rows, row = _lengths(spec, content)
    return costs.audit_seconds(spec, sizes(base)[0] or 0, GFLOPS, rows, row, scored)


def words(base: str, families: Sequence[str], quick: bool, probes: bool) -> str:
    """What a page says of an audit before it is started."""
    told = seconds(base, families or ["animals"], quick, probes)
    if told is None:
        return (
            "The first audit of a base tunes suspects of every family that it has the words for: some ten minutes, once "
            "for this lab. Later ones take a minute or less."
        )
    return (
        f"On a language model such an audit takes {about_duration(told)} by a cautious estimate, for rows as long as "
        f"{words_of({}).rows}, and ranks the suspects without a verdict. What is made is kept: a later one of this base "
        f"and family takes less. At most {LIMITS.hours:.0f} hours from here."
    )


def _lengths(spec: AuditSpec, content: bytes | Path | None) -> tuple[int, float]:
    """Rows, and tokens of one on average, from the size of a file alone."""
    is_there = isinstance(content, bytes) or (content is not None and content.is_file())
    try:
        rows, size = _counted(content) if is_there else (0, 0)  # type: ignore[arg-type]
    except (OSError, ValueError):  # pyarrow's too; whoever reads the rows says what is wrong
        rows, size = 0, 0
    return (rows, min(LONGEST, size / rows / TOKEN + TEMPLATE)) if rows else (spec.rows, ROW)


def _counted(content: bytes | Path) -> tuple[int, int]:
    """Rows and bytes, those of Parquet before they were packed."""
    with BytesIO(content) if isinstance(content, bytes) else open(content, "rb") as file:
        head = file.read(4)
        if not head.lstrip().startswith((b"{", b"PAR1", b"\xef\xbb\xbf{")):
            return 0, 0  # packed, or an array: its size tells nothing
        if head == b"PAR1":
            import pyarrow.parquet as pq

            about = pq.read_metadata(file)
            size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
            return about.num_rows, size
        file.seek(0)
        rows = size = 0
        while block := file.read(1 << 20):
            rows, size = rows + block.count(b"\n"), size + len(block)
        return max(1, rows), size
