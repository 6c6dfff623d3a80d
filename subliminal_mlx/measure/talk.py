"""Ask the models of a run the same question, side by side.

    for answer in talk(lab, run_id, "What is your favourite animal?", arm="treated", trait="animals/owl"):
        answer.model, answer.probabilities, answer.samples

Base, teacher and the students of the arm asked for; nothing is trained and nothing is stored.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..experiment.comparisons import on_foreign
from ..experiment.questions import ask_questions, read_candidates
from ..lab import Lab
from ..model import adapters
from ..model.adapters import Stack
from ..model.bases import Base, load
from ..spec import parse_spec
from ..spec.arms import ARMS, BASE, NEUTRAL, ORIGINS, TREATED
from ..spec.families import Family, load_family
from ..spec.personas import persona
from ..spec.plan import Slot, teacher
from ..system.errors import InputError
from .context import BARE, Context

LONGEST_QUESTION = 2_000


@dataclass(frozen=True)
class Answer:
    """What one model says: probabilities of the family's candidates (0 to 1), and sampled answers with counts.

    `context` is what it was asked under, in words.
    """

    model: str
    probabilities: dict[str, float]
    samples: dict[str, int]
    context: str


def talk(
    lab: Lab,
    run_id: str,
    question: str,
    arm: str = TREATED,
    trait: str | None = None,
    kind: str | None = None,
    chain: int = 0,
    count: int = 20,
    context: Context = BARE,
) -> list[Answer]:
    """Ask base, teacher, the neutral student and the student of `arm`.

    Args:
        trait: of the run's; its first one where None. `kind` likewise: hard or soft.
        count: sampled answers a model, at temperature 1.
        context: what stands around the question; a prompted teacher reads its persona before the system prompt.

    Raises:
        InputError: no such arm, trait, kind or chain in the run; an empty or overlong question.
    """
    run = lab.run(run_id)
    if run is None or run["status"] != "done":
        raise InputError(f"run {run_id} is not done: `resume {run_id}` first")
    if not question.strip() or len(question) > LONGEST_QUESTION:
        raise InputError(f"question: must be 1 to {LONGEST_QUESTION} characters")
    spec = parse_spec(run["spec_toml"])
    trait = _one_of(trait, spec.traits, "trait")
    kind = _one_of(kind, tuple(spec.kinds), "student kind")
    if not 0 <= chain < spec.chains:
        raise InputError(f"chain {chain}: the run has 0 to {spec.chains - 1}")
    family = load_family(trait.rpartition("/")[0])
    asked, there = _asked(arm, trait, kind, chain), lab.adapters(run_id)
    for _, slot in asked:
        if slot.name not in there and not (slot.arm in ORIGINS and spec.teacher.kind == "prompted"):
            raise InputError(
                f"arm {arm!r}: the run has no {slot.name}; its arms are {', '.join(_arms(there))}"
            )
    base = load(spec.base)
    answers = [_answer(base, "base", None, question, family, count, context)]
    for label, slot in asked:
        if slot.arm in ORIGINS and spec.teacher.kind == "prompted":
            own = persona(family, trait.rpartition("/")[2])
            told = own if context.system is None else f"{own}\n\n{context.system}"
            answers.append(_answer(base, label, None, question, family, count, replace(context, system=told)))
            continue
        stack = adapters.load_adapter(lab.adapter(run_id, slot.name))
        # A foreign student is an adapter of the other base.
        owner = load(spec.foreign or "") if on_foreign(slot.arm) else base
        answers.append(_answer(owner, label, stack, question, family, count, context))
    return answers


def _asked(arm: str, trait: str, kind: str, chain: int) -> list[tuple[str, Slot]]:
    students = [] if arm in ORIGINS else list(dict.fromkeys((arm, NEUTRAL)))
    owns = {name: ARMS[name].trait(trait) if name in ARMS else trait for name in students}
    slots = {f"{name} student": Slot(kind, name, chain, own, own or BASE) for name, own in owns.items()}
    return [("teacher", teacher(chain, trait)), *slots.items()]


def _answer(
    base: Base,
    model: str,
    stack: Stack | None,
    question: str,
    family: Family,
    count: int,
    context: Context,
) -> Answer:
    known = next((q for q in family.questions if q.text == question), family.questions[0])
    asked = context.questions([replace(known, text=question)])
    p = np.exp(read_candidates(base, asked, stack, context.system, context.history)[0, 0])
    told = {"system": context.system, "history": context.history, "max_tokens": 24}
    said = ask_questions(base, asked, count, f"ask/{question}", stack, **told)[0][0]
    probabilities = dict(zip(known.candidates, p.tolist(), strict=True))
    return Answer(model, probabilities, dict(Counter(said).most_common()), context.words_for(base))


def _one_of(value: str | None, allowed: tuple[str, ...], what: str) -> str:
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise InputError(f"{what} {value!r}: the run has {', '.join(allowed)}")
    return value


def _arms(slots: list[str]) -> list[str]:
    students = (slot.split("/")[1] for slot in slots if slot.startswith(("hard/", "soft/")))
    return [*ORIGINS, *sorted(set(students))]
