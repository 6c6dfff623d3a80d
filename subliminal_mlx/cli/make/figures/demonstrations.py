"""The two demonstrations: digits, and the blind test.

digits()             # a list: accuracy by arm, and where the theorem holds
blind()              # how many pairs of stored lists the bigram judge tells apart
"""

from ....demos.blind.ngrams import accuracy, fit, held_out
from ....demos.blind.rounds import SIZE
from ....demos.blind.rows import read_lists
from ....demos.digits.grid import read_grid
from ....demos.digits.grid import stored as stored_digits
from ....demos.digits.spec import make
from ....experiment.statistics import binomial_interval
from ....system.quantities import percent, percent_interval
from .stored import PROGRAM, made_by, share, stored

ARMS = {
    "student": "student, after the last epoch",
    "other initialisation": "another start",
    "untrained teacher": "an untrained teacher",
    "shuffled logits": "shuffled outputs",
    "real images": "real images instead of noise",
}


def digits() -> str:
    """Accuracy of every arm over the replicas, and the step sizes at which every draw obeyed the theorem."""
    found = stored_digits(make("digits"))
    assert found is not None
    shares = {words: found["arms"][arm]["accuracy"][-1] for arm, words in ARMS.items()}
    shares = {"its teacher": found["teacher"]["accuracy"], **shares}
    lines = [
        f"- {words}: {percent(mean)} ({percent_interval(low, high)})"
        for words, (mean, low, high) in shares.items()
    ]
    same = [row for row in read_grid()["theorem"]["rows"] if row["distance"] == 0]
    held = []
    for row in sorted(same, key=lambda row: row["step"]):
        if row["against_count"] or row["raised_count"]:
            break
        held.append(row)
    lines.append(
        f"- one small step: at {len(held)} step sizes up to {held[-1]['step']:g}, in all of {held[0]['draws']} draws each, the "
        "student moved with its teacher and the teacher's loss fell"
    )
    return "\n".join(lines) + made_by(" digits --grid", where="digits")


def blind() -> str:
    """How often judges of other rows tell two stored lists apart: one of pairs of neighbours, and one of single numbers."""
    lists = read_lists()
    (right, pairs), (single, _) = (
        accuracy(fit(lists, order), lists, held_out(lists), SIZE) for order in (2, 1)
    )
    told = share(right / pairs, *binomial_interval(right, pairs))
    facts = stored("blind/facts.json")
    return (
        f"A bigram judge that has seen other rows of the same teachers tells {right} of {pairs} pairs of {SIZE} rows apart, "
        f"{told}; one that counts single numbers alone {single} of {pairs}. The interval is over pairs of rows of one teacher in "
        f"one chain, and says nothing of other teachers. Counted by `{PROGRAM}.cli.make.readme` in the lists that "
        f"`uv run {facts['command']}` stored in `data/results/blind`."
    )
