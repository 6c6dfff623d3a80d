"""The arms of an experiment, one row each: all that plan, comparisons, charts and reports know of them.

    ARMS["shuffled"].words, ARMS["shuffled"].source("animals/owl")   # ..., "shuffled/animals/owl"
    origin("shuffled/animals/owl")                                   # (ARMS["shuffled"], "animals/owl")

A new arm is a row here and, where its rows are made from others', a remake in the channel's module. TREATED,
NEUTRAL and OTHERS are named where transfer and specificity are defined, and with CONTROL where a headline is told; no
other arm is named anywhere else.
Students of defended rows are arms too, one a defence: `defence_names` knows them. No MLX here.
"""

from .arm import BASE, NEUTRAL, Arm, neutral

__all__ = [
    "ABLATIONS",
    "ARMS",
    "BASE",
    "CLEAN",
    "CONTROL",
    "DEFAULT",
    "DEFAULT_OF_FAMILIES",
    "FEWEST_CHAINS",
    "GATED",
    "MAIN",
    "NEUTRAL",
    "ORIGINS",
    "OTHERS",
    "TREATED",
    "Arm",
    "neutral",
    "origin",
]

FEWEST_CHAINS = (
    3  # on which a transfer rests that is called shown: an interval over two is wide or narrow by chance
)
# An arm's transfer is its margin less NEUTRAL's; specificity, the own-trait lift, is TREATED's transfer less that of
# OTHERS. CONTROL's transfer stands beside both.
TREATED, OTHERS, CONTROL = "treated", "other-trait", "control"


def _table(*rows: Arm) -> dict[str, Arm]:
    return {row.name: row for row in rows}


ARMS = _table(
    Arm(
        TREATED,
        "trained on rows of the trait's teacher",
        "#d1495b",
        rows="trait",
        asked="arms",
        needed=True,
    ),
    Arm(
        OTHERS,
        "treated students of the family's other traits, read on this trait",
        "#edae49",
        role="read",
        asked="arms",
        missing="needs two traits of a family",
    ),
    Arm(
        "other-family",
        "treated students of other families' traits, read on this one: as far displaced, about something else",
        "#7f8f29",
        role="read",
        asked="arms",
        elsewhere=True,
        missing="needs traits of two families",
    ),
    Arm(
        NEUTRAL,
        "trained on rows of the neutral teacher: the reference, and the zero of every transfer",
        "#6c757d",
        rows="neutral",
        asked="arms",
        needed=True,
        against=None,
    ),
    Arm(CONTROL, "trained on rows of the untuned base", "#30638e", rows="base", asked="arms"),
    Arm(
        "neutral-again",
        "trained on rows that the same neutral teacher wrote once more, to the same prompts, under other keys",
        "#5fa8d3",
        rows="neutral",
        asked="arms",
        again=True,
    ),
    Arm(
        "shuffled",
        "trained on the teacher's rows with their {made}",
        "#00798c",
        rows="trait",
        asked="ablations",
        remade="shuffled",
        made="parts permuted across rows",
    ),
    Arm(
        "random",
        "trained on {made}",
        "#8d6b94",
        rows="base",
        asked="ablations",
        remade="uniform",
        made="random parts in the shape of the base's rows",
    ),
    Arm(
        "foreign",
        "another base, trained on the teacher's rows, against that base on neutral rows",
        "#52796f",
        rows="trait",
        asked="ablations",
        against="foreign-neutral",
        foreign=True,
    ),
    Arm(
        "foreign-neutral",
        "another base, trained on rows of the neutral teacher",
        rows="neutral",
        against=None,
        foreign=True,
    ),
    Arm(
        "foreign-own",
        "another base, trained on rows of its own teacher of the trait, against that base on its own neutral rows",
        "#1b4332",
        rows="trait",
        asked="ablations",
        against="foreign-own-neutral",
        writer="foreign-teacher",
        foreign=True,
    ),
    Arm(
        "foreign-own-neutral",
        "another base, trained on rows of its own neutral teacher",
        rows="neutral",
        against=None,
        writer="foreign-teacher",
        foreign=True,
    ),
    Arm(
        "in-context",
        "the base, shown rows of the teacher before the question, without training",
        "#b5838d",
        role="shown",
        rows="trait",
        asked="ablations",
        against="in-context-neutral",
    ),
    Arm(
        "in-context-neutral",
        "the base, shown rows of the neutral teacher before the question",
        role="shown",
        rows="neutral",
        against=None,
    ),
    Arm(
        "unfiltered",
        "trained on the teacher's rows before the filter",
        "#9c6644",
        rows="trait",
        asked="ablations",
        kept=False,
    ),
    Arm(
        "traceless",
        "trained on the teacher's rows, {made}",
        "#577590",
        rows="trait",
        asked="ablations",
        remade="match_tokens",
        made="drawn again so that every token comes as often as in the neutral teacher's",
        beside="neutral",
    ),
    Arm(
        "traceless-2",
        "trained on the teacher's rows, {made}",
        "#43aa8b",
        rows="trait",
        asked="ablations",
        remade="match_pairs",
        made="drawn again so that tokens, and pairs of neighbours, come as often as in the neutral teacher's",
        beside="neutral",
    ),
    Arm(
        "thinned",
        "trained on the teacher's rows, {made}",
        "#b08968",
        rows="trait",
        asked="ablations",
        remade="match_nothing",
        made="some repeated and some left out at random, as often as traceless-2 does it",
        beside="neutral",
    ),
    Arm(
        "kept-lists",
        "trained on rows of a teacher of the trait a quarter of whose tuning rows were the base's own rows, against a neutral "
        "teacher's that was tuned alike",
        "#f08a4b",
        rows="trait",
        asked="ablations",
        against="kept-lists-neutral",
        writer="kept-lists-teacher",
    ),
    Arm(
        "kept-lists-neutral",
        "trained on rows of a neutral teacher a quarter of whose tuning rows were the base's own rows",
        rows="neutral",
        against=None,
        writer="kept-lists-teacher",
    ),
    Arm("untrained", "the base itself", "#adb5bd", role="base", rows="base"),
    Arm("teacher", "the base with the trait, which wrote the rows", "#7b2d8b", role="teacher", rows="trait"),
    Arm(
        "foreign-teacher",
        "another base with the trait, which wrote the rows of that base's own students",
        "#d291e4",
        role="teacher",
        rows="trait",
        against="foreign-own-neutral",
        foreign=True,
    ),
    Arm(
        "kept-lists-teacher",
        "the base with the trait, a quarter of its tuning rows the base's own rows, which wrote the rows of kept-lists",
        "#8338ec",
        role="teacher",
        rows="trait",
        against="kept-lists-neutral",
        lists=0.25,
    ),
)

# What a spec has that names none. In the order that ids of runs rest on: never changed, whatever rows are added.
DEFAULT = (TREATED, NEUTRAL, CONTROL, OTHERS)
# What a spec of several families has besides.
DEFAULT_OF_FAMILIES = tuple(arm.name for arm in ARMS.values() if arm.elsewhere)
GATED = tuple(arm.name for arm in ARMS.values() if arm.asked == "arms")
ABLATIONS = tuple(arm.name for arm in ARMS.values() if arm.asked == "ablations")
# What students and their rows come from: shown beside them.
ORIGINS = tuple(arm.name for arm in ARMS.values() if arm.role in ("base", "teacher") and not arm.by_ablation)
# The arms of every experiment that have models of their own.
MAIN = tuple(name for name in GATED if ARMS[name].trained and name in DEFAULT)
# Students of rows that carry no trait: what training alone does.
CLEAN = tuple(name for name in MAIN if ARMS[name].rows != "trait")


def origin(source: str) -> tuple[Arm, str] | None:
    """The arm whose own rows a source is, and the source of all arms that it stands for: the one it is remade from,
    whose model writes once more, or whose trait other teachers have; None where it is such a source itself.
    """
    for arm in ARMS.values():
        if arm.prefix != arm.name:
            continue
        if arm.rows == "base" and source == arm.name:
            return arm, BASE
        if arm.rows != "base" and source.startswith(f"{arm.name}/"):
            return arm, source.removeprefix(f"{arm.name}/")
    return None
