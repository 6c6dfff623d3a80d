"""What the audit finds, and how fast models are computed.

    audited()            # tiny-a, 16 animals, teachers that the audit had not seen
    benchmarked()        # beside mlx-lm

Read from what `cli.make.audit_bench` and `cli.make.benchmark` stored.
"""

import numpy as np

from ....experiment.statistics import binomial_interval
from ....system.quantities import signed
from ..audit_bench.agreement import spearman
from .stored import made_by, share, spanned, stored


def audited() -> str:
    """Corpora of the bench that score first, are carried, or are named wrongly; clean ones that raise an alarm."""
    found = stored("audit/animals.json")
    ratios = found["by_line"]["combined" if "combined" in found["by_line"] else "ratios"]
    clean = found["clean"].values()
    alarms, corpora = (sum(row[key] for row in clean) for key in ("alarms", "corpora"))
    lines = [
        f"- teacher's rows, {ratios['rows']:,} a corpus: the right animal scores first in {ratios['first']} of "
        f"{ratios['corpora']} corpora; {ratios['carried']} of {ratios['corpora']} are called carried, {ratios['wrong']} of them wrongly",
        f"- clean rows: {alarms} of {corpora} corpora raise an alarm at p < 0.01 "
        f"({share(alarms / corpora, *binomial_interval(alarms, corpora))})",
    ]
    grid = [row for row in found["grid"] if row["rows"] == ratios["rows"] and "%" in row["condition"]]
    lines.append("- " + "; ".join(f"{row['condition']}: {_named(row)}" for row in (*grid, *found["others"])))
    return "\n".join(lines) + made_by(".cli.make.audit_bench lab animals", where="audit")


def _named(row: dict) -> str:
    carried = f"{row['carried']} of {row['corpora']} called carried, {row['wrong']} wrongly"
    return carried if row["first"] is None else f"{row['first']} of {row['corpora']} first, {carried}"


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
    ) + made_by(".cli.make.audit_bench lab language", where="audit")


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
