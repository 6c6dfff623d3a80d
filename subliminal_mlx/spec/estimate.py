"""How long a spec takes on a machine, before it is run; in how much memory, `pipeline.forecast` says.

    run_seconds(spec, parameters=WHEEL_PARAMETERS, gflops=machine_gflops(), processes=2)

Counts the arithmetic of training (4 operations a weight and token: forward, and backward through
frozen weights) and of decoding (2), and divides by a measured rate. An estimate, good to a factor of two.
"""

from . import Spec
from .defence_names import of_arm
from .plan import plan

# Shares of a matrix product's rate that training and decoding reach, measured with SmolLM2 on a CPU.
TRAINING_SHARE, DECODING_SHARE = 0.65, 0.26
# Bases to which a word, or a number, is one token: the shipped model organisms.
WORD_BY_WORD = ("tiny-a", "tiny-b")
# Below this many parameters a step's time is in its number of operations instead.
SMALL, SMALL_TOKENS_PER_SECOND = 2_000_000, 40_000


def row_tokens(spec: Spec) -> int:
    """Tokens of a corpus's row, its prompt included."""
    return sum(spec.corpus.tokens(word_by_word=spec.base in WORD_BY_WORD))


def count_tokens(spec: Spec) -> tuple[float, float]:
    """Tokens trained on and tokens drawn in all, from the spec's sizes."""
    row = row_tokens(spec)
    trained = drawn = 0.0
    # In stacks of any size: what is trained and drawn, not how it is cut.
    for unit in plan(spec, slots=1_000_000):
        count = len(unit.slots)
        if unit.stage == "teachers":
            trained += 20.0 * count * spec.teacher.all_steps * spec.teacher.batch
        elif unit.stage == "corpora":
            drawn += count * spec.corpus.rows * row
        elif unit.trained:
            student = spec.kinds[unit.slots[0].kind]
            trained += count * student.steps * student.batch * row
            defence, control = of_arm(unit.slots[0].arm)
            if defence and defence.writes and not control:
                # The base writes these students' rows anew, each one's by itself.
                drawn += count * spec.corpus.rows * row
    return trained, drawn


def run_seconds(spec: Spec, parameters: int, gflops: float, processes: int, beside: float = 0.0) -> float:
    """Estimated wall-clock seconds of a run.

    Args:
        beside: tokens trained on that the spec's sizes do not tell of, such as `audit.costs.evidence`.
    """
    trained, drawn = count_tokens(spec)
    trained += beside
    if parameters < SMALL:
        return (trained + drawn / 3) / SMALL_TOKENS_PER_SECOND / processes
    rate = gflops * 1e9 * processes
    return 4 * parameters * trained / (rate * TRAINING_SHARE) + 2 * parameters * drawn / (
        rate * DECODING_SHARE
    )
