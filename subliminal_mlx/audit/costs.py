"""What an audit on a language model costs, in tokens of a forward pass: of each piece, and of all before it begins.

    audit_seconds(spec, parameters=WHEEL_PARAMETERS, gflops=100, rows=90, row=120)       # nothing of it kept yet

Pieces are counted by the same functions as they are made. No MLX here: a page says what it would start.
"""

from ..spec import Spec
from ..spec.defence_names import by_evidence
from ..spec.estimate import DECODING_SHARE, TRAINING_SHARE, row_tokens
from ..spec.families import load_family
from .spec import AuditSpec, Probes, Suspects

# A token that is trained on, or scored with its gradient, costs about as much as so many forwards.
TRAINED = 2.0
# Of a tuning question and its answer.
QUESTION_TOKENS = 24
KEPT_WIDTH = 2.0
# Rows that a temperature is read off: lists of eight numbers tell it to about 0.03 in as many.
FITTED_ROWS = 64
# Rows, and as many clean ones, that name the suspect by whom a defence finds its evidence.
NAMING_ROWS = 200
# That suspect's teachers and the others': all alike, for no name hangs on whose recipe is nearest.
NAMING = Suspects(members=4, keep=0.0)


def tuned(recipe: Suspects) -> float:
    """Of one suspect's teacher."""
    # Rows that are kept have answers of some length, and all are padded to the longest.
    wide = KEPT_WIDTH if recipe.keep else 1.0
    return recipe.steps * recipe.batch * QUESTION_TOKENS * TRAINED * wide


def fitted(tokens: float, rows: int) -> float:
    """Of the temperature of a text of so many tokens and rows."""
    return tokens * min(FITTED_ROWS, rows) / rows


def ratios(tokens: float, suspects: int, recipe: Suspects) -> float:
    """Of a text of so many tokens, read for so many suspects."""
    return tokens * TRAINED * (1 + suspects * recipe.members * recipe.rank / 400)


def probe(row: float, families: tuple[str, ...], how: Probes) -> float:
    """Of one student of rows of so many tokens, and of what it is asked."""
    asked = sum(len(load_family(family).held_out) for family in families) * QUESTION_TOKENS
    return how.steps * how.batch * row * TRAINED + asked


def evidence(spec: Spec) -> float:
    """Tokens trained on that finding the evidence amounts to, for all defences of a run that rest on it.

    A family's suspects are tuned once, as NAMING says; every source's rows are scored anew for every
    chain, kind of student and defence.
    """
    times = spec.chains * len(spec.kinds) * sum(map(by_evidence, spec.defences))
    if not times:
        return 0.0
    read = 0.0
    for family in spec.families:
        suspects = len(load_family(family).traits)
        sources = 1 + sum(trait.rpartition("/")[0] == family for trait in spec.traits)
        # Some rows and as many clean ones by every suspect; then all by the one that is named, and by the average.
        rows = 2 * NAMING_ROWS * suspects + 2 * spec.corpus.rows
        read += (suspects + 1) * NAMING.members * tuned(NAMING) + times * sources * rows * row_tokens(spec)
    return read / TRAINED


def tokens(spec: AuditSpec, rows: int, row: float) -> tuple[float, float]:
    """Read or trained on, and written, where nothing is kept yet and rows have so many tokens."""
    only = [trait.rpartition("/")[0] for trait in spec.suspects_only]
    counts = [only.count(f) if only else len(load_family(f).traits) for f in spec.families]
    text, families, null = min(rows, spec.rows) * row, len(counts), spec.null
    # A family's neutral teacher is beside its suspects; others write clean rows.
    teachers = sum((count + 1) * spec.suspects.members + null.corpora for count in counts)
    shared = len(null.temperatures) + (null.other_base is not None)
    # The base's and, for probes, every neutral teacher's, to the corpus's prompts and, at their temperatures, to
    # those of clean corpora; temperatures are taken for those they were written at, the corpus's for 1.
    places = 1 + (null.corpora > 0) * len({1.0, *null.temperatures})
    probed = spec.lines == "all"
    clean = null.corpora * (shared + families)
    written = places * (1 + families * probed) + clean
    read = teachers * tuned(spec.suspects) + (1 + places + clean) * ratios(text, sum(counts), spec.suspects)
    read += (1 + clean) * fitted(text, min(rows, spec.rows))
    if probed:
        read += (1 + written) * spec.probes.seeds * probe(row, spec.families, spec.probes)
    return read, written * text


def audit_seconds(
    spec: AuditSpec, parameters: int, gflops: float, rows: int, row: float, scored: bool = False
) -> float:
    """Estimated wall-clock seconds of all of it, good to a factor of two.

    Args:
        scored: every row of the corpus is also scored under one suspect and under the average of its family.
    """
    read, written = tokens(spec, rows, row)
    read += rows * row * 2 * TRAINED * scored
    return 2 * parameters * (read / TRAINING_SHARE + written / DECODING_SHARE) / (gflops * 1e9)
