"""README's figures, a block each: every one is made from files under data/results, by a function here.

    made()["default"]        # the Markdown of README's block of that name

A block ends with the command that makes its figures. `stored` reads files, `transfers` has the tables of runs, `removals`
what filters and defences leave, `apart` single traits and what had no part in a choice, `demonstrations` digits and the blind test, `detections` the audit and the benchmark.
"""

from .apart import redrawn, single_traits, unseen
from .demonstrations import blind, digits
from .detections import audited, audited_language_model, benchmarked, predicted, told_traits
from .doses import kept_lists, pictures
from .removals import defended, defended_language_model, leaky
from .transfers import ablations, answers, counts, families, language, last_steps, traits

__all__ = ["made", "pictures"]

UNTIED = (
    ".cli.make.tiny_world lab/bases tiny-a-untied",
    " run --set base=lab/bases/tiny-a-untied",
)


def made() -> dict[str, str]:
    """The Markdown of every block, by its name."""
    return {
        "smollm2": traits("smollm2"),
        "smollm2-answers": answers("smollm2"),
        "smollm2-ablations": ablations("smollm2", "animals/owl"),
        "smollm2-language": language("smollm2"),
        "smollm2-longer": last_steps("smollm2-longer"),
        "default": traits("default"),
        "default-counts": counts("default"),
        "default-families": families("default"),
        "default-ablations": ablations("default", "animals/owl"),
        "default-language": language("default"),
        "traceless": families("traceless"),
        "traceless-redrawn": redrawn("traceless"),
        "kept-lists": kept_lists(),
        "removed": families("removed"),
        "removed-traits": single_traits("removed", ("treated",)),
        "removed-counts": counts("removed"),
        "foreign-own": families("foreign-own"),
        "foreign-own-language": language("foreign-own"),
        "untied": families("untied", *UNTIED),
        "untied-traits": single_traits("untied", ("treated", "untrained"), *UNTIED),
        "untied-language": language("untied", *UNTIED),
        "words": families("words"),
        "words-counts": counts("words"),
        "all": counts("all"),
        "all-families": families("all"),
        "all-unseen": unseen("all"),
        "blind": blind(),
        "leaky": leaky(),
        "digits": digits(),
        "audit": audited(),
        "audit-traits": told_traits(),
        "prediction": predicted(),
        "audit-smollm2": audited_language_model(),
        "defences": defended(),
        "defences-smollm2": defended_language_model(),
        "benchmark": benchmarked(),
    }
