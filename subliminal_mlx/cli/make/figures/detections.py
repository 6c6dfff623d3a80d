"""What the audit finds, and how fast models are computed.

    audited()            # tiny-a, 16 animals, teachers that the audit had not seen
    benchmarked()        # beside mlx-lm

Read from what `cli.make.audit_bench` and `cli.make.benchmark` stored.
"""

import numpy as np

from ....system.quantities import signed
from ..audit_bench.agreement import spearman
from .stored import made_by, spanned, stored, table

BENCH = "audit/honest-tiny-a-1.json"
SETS = {"animals": "16 animals", "trees": "8 trees", "pronouns": "4 pronouns", "together": "all 28"}
MADE = ".cli.make.audit_bench lab honest"


def audited() -> str:
    """What becomes of clean corpora, by the set of suspects that is asked about."""
    clean = stored(BENCH)["clean"]
    rows = []
    for name, words in SETS.items():
        reached, alarms, nothing = (clean[what][name] for what in ("reached", "alarms", "not found"))
        rows.append(
            [
                words,
                f"{len(clean['named'][name])} of {clean['corpora']}",
                f"{alarms['count']} of {reached['count']}",
                f"{nothing['count']} of {nothing['of']}",
            ]
        )
    head = [
        "suspects",
        f"named, of clean corpora of {len(clean['kinds'])} kinds",
        "alarms (p < 0.01), base's and neutral rows",
        "those at temperature 0.65 to 1.35: not found",
    ]
    return table(head, rows) + made_by(MADE, where="audit")


def told_traits() -> str:
    """How many traits' corpora have their own trait first, are named by it, and by another, with all suspected."""
    rows = stored(BENCH)["carrying"]["together"]
    found = []
    for kind, words in (("plain", "to the trait alone"), ("kept", "kept, as the default run's")):
        for what in dict.fromkeys(row["what"] for row in rows if row["corpora"].startswith(kind)):
            some = [row for row in rows if row["corpora"].startswith(f"{kind}/") and row["what"] == what]
            of, first, named, wrong, beside = (
                sum(row[key] for row in some) for key in ("of", "first", "named", "wrong", "beside")
            )
            animals = next(row for row in some if row["corpora"].endswith("/animals"))
            found.append(
                [
                    words,
                    what.removeprefix("at "),
                    f"{animals['first']} of {animals['of']}",
                    f"{first} of {of}",
                    f"{named} of {of}",
                    str(beside),
                    str(wrong),
                ]
            )
    head = [
        "teachers",
        "their rows",
        "animals: own first",
        "own first",
        "named",
        "of these beside another",
        "wrong name",
    ]
    return table(head, found) + made_by(MADE, where="audit")


def predicted() -> str:
    """How well the audit's forecast of transfer ranks runs, beside a fit of rows and temperature, and beside rows alone."""
    found = stored("audit/prediction.json")
    own, dose, within = (
        spanned(*(of[key] for key in ("value", "low", "high")))
        for of in (found["rank"], found["dose"]["rank"], found["within"])
    )
    rows, measured = (np.array([point[key] for point in found["points"]]) for key in ("rows", "measured"))
    return (
        f"Over {found['runs']} runs the rank correlation of forecast and transfer is {own}; that of the plain number of rows "
        f"{signed(spearman(rows, measured), 2)}, that of a fit of rows and temperature {dose}; and at fixed rows and "
        f"temperature the forecast's is {within}."
    ) + made_by(".cli.make.audit_bench lab prediction", where="audit")


def audited_language_model() -> str:
    """The same on SmolLM2: with suspects alone, and with a hundred clean corpora."""
    ranked, judged = stored("audit/smollm2-135m.json"), stored("audit/smollm2-135m-verdicts.json")
    first = next(line for line in ranked["by_line"] if line["line"] == "ratios")
    verdicts, corpora = judged["verdicts"], len(judged["by_line"][0]["ranks"])
    return (
        f"The true trait scores first of its family's suspects in {first['first']} of {first['corpora']} corpora. Over a hundred clean "
        f"corpora {verdicts['named rightly']} of {corpora} corpora of animals are called carried rightly and "
        f"{verdicts['named wrongly']} wrongly, and {verdicts['clean named']} of {judged['clean']} clean ones and "
        f"{verdicts['others named']} of {verdicts['others']} of other families' traits are named."
    ) + made_by(
        ".cli.make.audit_bench lab language latest",
        ".cli.make.audit_bench lab language latest null.corpora=25",
        where="audit",
    )


def benchmarked() -> str:
    """Completion tokens a second, ours by mlx-lm's."""
    found = stored("benchmark/smollm2-135m-full.json")
    ratios = [
        f"- {task}: {rates['ratio']:.2f} times as fast ({rates['lowest']:.2f} to {rates['highest']:.2f})"
        for task, rates in found["tasks"].items()
    ]
    sizes = " ".join(f"--{name} {value}" for name, value in found["sizes"].items())
    command = f".cli.make.benchmark {found['base']} --style {found['style']} {sizes}"
    return "\n".join(ratios) + made_by(command, where="benchmark")
