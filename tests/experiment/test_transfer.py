"""What a run found, on small families whose numbers can be worked out by hand."""

import itertools
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from subliminal_mlx.experiment.readings import margins as margins_among
from subliminal_mlx.experiment.readings import softmax
from subliminal_mlx.experiment.readouts.answers import match_answer
from subliminal_mlx.experiment.transfer import summarise, to_json
from subliminal_mlx.spec import Spec, Student
from subliminal_mlx.spec.arms import ARMS
from subliminal_mlx.spec.families import parse_family

LETTERS = ("a", "b", "c", "d", "e", "f", "g")
STEPS = 40


def make_family(traits, name="letters", candidates=LETTERS):
    listed = "\n".join(f'{trait} = "{trait.upper()}"' for trait in traits)
    return parse_family(
        name,
        f"""
title = "Letters"
candidates = {json.dumps([c.upper() for c in candidates])}
[questions]
tuning = ["Which letter?"]
held-out = ["Name a letter.", "A letter, please."]
[traits]
{listed}
""",
    )


def make_spec(traits, **fields):
    """A spec of traits of families that are not shipped, which validation would look up."""
    students = {"hard": Student(steps=STEPS), "soft": None, **fields}
    return Spec.model_construct(traits=tuple(traits), **students)


def model(arm, trait=None, chain=0, *, kind="hard", step=STEPS, logp):
    """A model's readouts: `logp` by question and candidate, or one row for all questions."""
    middle = "/".join(filter(None, (kind, arm, trait)))
    return dict(slot=f"{middle}/c{chain}", kind=kind, arm=arm, trait=trait, chain=chain, step=step), logp


def tabulate(models, *families):
    rows = []
    for described, logp in models:
        for family in families:
            for q, question in enumerate(family.held_out):
                values = logp if np.isscalar(logp[0]) else logp[q]
                for candidate, value in zip(question.candidates, values, strict=True):
                    row = dict(
                        family=family.name, question=question.id, candidate=candidate, logp=float(value)
                    )
                    rows.append(described | row)
    schema = {"slot": "string", "kind": "string", "arm": "string", "trait": "string", "chain": "int32"}
    schema |= {
        "step": "int32",
        "family": "string",
        "question": "string",
        "candidate": "string",
        "logp": "double",
    }
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.type_for_alias(t)) for name, t in schema.items()]))


def run(models, family, traits, answers=None, **fields):
    traits = [f"{family.name}/{trait}" for trait in traits]
    tables = {"readouts": tabulate(models, family)} | ({} if answers is None else {"answers": answers})
    return summarise(tables, {family.name: family}, make_spec(traits, **fields))


def odds(x, place=0, size=2):
    """Log-probabilities of `size` candidates where the margin of one is x and its rivals are alike."""
    p = 1 / (1 + math.exp(-x))
    return [math.log(p) if i == place else math.log((1 - p) / (size - 1)) for i in range(size)]


def t_interval(values):
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


PAIR = make_family("ab", candidates="ab")
# Margins of trait a, by chain and question.
TREATED = np.array([[1.0, 0.4], [0.2, 0.8], [1.5, 1.3]])
NEUTRAL = np.array([[0.1, -0.3], [-0.2, 0.4], [0.1, 0.5]])
CONTROL = np.array([[0.2, -0.1], [0.0, 0.0], [0.3, 0.1]])
OTHER = np.array([[-1.0, -0.4], [-0.9, -0.3], [-0.2, 0.0]])


def small(chains=(0, 1, 2), kind="hard"):
    """Students of traits a and b, neutral and control."""
    students = (("treated", "letters/a", TREATED), ("treated", "letters/b", OTHER))
    students += (("neutral", "letters/neutral", NEUTRAL), ("control", None, CONTROL))
    return [
        model(arm, trait, chain, kind=kind, logp=[odds(x) for x in margins[chain]])
        for chain in chains
        for arm, trait, margins in students
    ]


def only(summary, trait="letters/a", student="hard"):
    found = [e for e in summary["traits"] if (e["trait"], e["student"]) == (trait, student)]
    assert len(found) == 1
    return found[0]


# --- one trait ------------------------------------------------------------------------------------


def test_transfer_is_treated_less_neutral_over_chains():
    entry = only(run(small(), PAIR, "ab"))
    by_chain = (TREATED - NEUTRAL).mean(axis=1)
    assert entry["transfer"] == pytest.approx(np.mean([0.8, 0.4, 1.1]))
    assert (entry["low"], entry["high"]) == pytest.approx(t_interval(by_chain))
    treated = entry["arms"]["treated"]
    assert treated["chains"] == 3
    assert treated["margin"] == pytest.approx(TREATED.mean())
    assert treated["probability"] == pytest.approx(sigmoid(TREATED).mean())
    assert [treated[key] for key in ("transfer", "low", "high")] == [
        entry[k] for k in ("transfer", "low", "high")
    ]
    points = 100 * (sigmoid(TREATED) - sigmoid(NEUTRAL)).mean(axis=1)
    assert entry["percentage_points"] == pytest.approx(points.mean())
    spread = entry["percentage_points_low"], entry["percentage_points_high"]
    assert spread == pytest.approx(t_interval(points))


def test_controls_stand_beside_it_and_neutral_has_no_transfer():
    arms = only(run(small(), PAIR, "ab"))["arms"]
    assert list(arms) == ["treated", "other-trait", "neutral", "control"]
    assert arms["control"]["transfer"] == pytest.approx((CONTROL - NEUTRAL).mean())
    interval = (arms["control"]["low"], arms["control"]["high"])
    assert interval == pytest.approx(t_interval((CONTROL - NEUTRAL).mean(axis=1)))
    assert arms["neutral"]["margin"] == pytest.approx(NEUTRAL.mean())
    assert arms["neutral"]["chains"] == 3
    assert [arms["neutral"][key] for key in ("transfer", "low", "high", "distance")] == [None] * 4


def test_chains_and_questions_average_to_the_estimate():
    entry = only(run(small(), PAIR, "ab"))
    assert [row["chain"] for row in entry["by_chain"]] == [0, 1, 2]
    assert [row["treated"] for row in entry["by_chain"]] == pytest.approx([0.8, 0.4, 1.1])
    assert [row["control"] for row in entry["by_chain"]] == pytest.approx((CONTROL - NEUTRAL).mean(axis=1))
    assert [row["specificity"] for row in entry["by_chain"]] == pytest.approx((TREATED - OTHER).mean(axis=1))
    assert set(entry["by_chain"][0]) == {"chain", "specificity", "treated", "other-trait", "control"}
    assert [row["transfer"] for row in entry["by_question"]] == pytest.approx(
        (TREATED - NEUTRAL).mean(axis=0)
    )
    assert [row["text"] for row in entry["by_question"]] == ["Name a letter.", "A letter, please."]
    assert [row["question"] for row in entry["by_question"]] == ["held-out/0", "held-out/1"]


def many(family, traits, chains, rng, own=0.0):
    """Random students of every trait; `own` is added to the trait's own log-probability."""
    models = []
    for chain in range(chains):
        for trait in traits:
            logp = rng.normal(-3, 1, (2, 7))
            logp[:, LETTERS.index(trait)] += own
            models.append(model("treated", f"{family.name}/{trait}", chain, logp=logp))
        models.append(model("neutral", f"{family.name}/neutral", chain, logp=rng.normal(-3, 1, (2, 7))))
    return models


def margins_of(models, arm, trait, place):
    """Question means by chain, the slow way."""
    return [
        np.mean(margins_among(np.array(logp), np.full(len(logp), place)))
        for described, logp in models
        if (described["arm"], described["trait"]) == (arm, trait)
    ]


def test_specificity_over_the_other_traits_stands_beside_transfer_in_a_family_of_any_size():
    family = make_family("abcdef")
    models = many(family, "abcd", 3, np.random.default_rng(0))
    entry = only(run(models, family, "abcd"), "letters/b")
    own = np.array(margins_of(models, "treated", "letters/b", 1))
    others = np.mean([margins_of(models, "treated", f"letters/{t}", 1) for t in "acd"], axis=0)
    neutral = np.array(margins_of(models, "neutral", "letters/neutral", 1))
    assert entry["transfer"] == pytest.approx((own - neutral).mean())
    assert (entry["low"], entry["high"]) == pytest.approx(t_interval(own - neutral))
    assert entry["specificity"] == pytest.approx((own - others).mean())
    assert (entry["specificity_low"], entry["specificity_high"]) == pytest.approx(t_interval(own - others))
    assert entry["arms"]["treated"]["transfer"] == pytest.approx((own - neutral).mean())
    assert entry["arms"]["other-trait"]["transfer"] == pytest.approx((others - neutral).mean())
    assert entry["arms"]["other-trait"]["margin"] == pytest.approx(others.mean())
    assert entry["arms"]["other-trait"]["chains"] == 3


def test_a_family_averages_its_traits_in_each_chain_first():
    family = make_family("abcdef")
    summary = run(many(family, "abc", 4, np.random.default_rng(7)), family, "abc")
    (entry,) = summary["families"]
    assert (entry["student"], entry["family"], entry["traits"], entry["chains"]) == ("hard", "letters", 3, 4)
    for arm in ("treated", "other-trait", "specificity"):
        by_chain = np.mean([[row[arm] for row in e["by_chain"]] for e in summary["traits"]], axis=0)
        assert entry["arms"][arm]["transfer"] == pytest.approx(by_chain.mean())
        assert (entry["arms"][arm]["low"], entry["arms"][arm]["high"]) == pytest.approx(t_interval(by_chain))


def test_one_trait_is_no_family_mean():
    family = make_family("abcdef")
    assert run(many(family, "a", 3, np.random.default_rng(8)), family, "a")["families"] == []


def test_a_lone_trait_has_no_specificity_no_place_and_no_p():
    family = make_family("abcdef")
    summary = run(many(family, "a", 3, np.random.default_rng(1), own=3), family, "a")
    lone = only(summary)
    assert "other-trait" not in lone["arms"] and summary["families"] == []
    unknown = ("specificity", "specificity_low", "specificity_high", "place", "of")
    assert [lone[key] for key in unknown] == [None] * 5 and lone["by_chain"][0]["specificity"] is None
    assert lone["shown"] and lone["transfer"] == lone["arms"]["treated"]["transfer"]


# --- permuted labels ------------------------------------------------------------------------------


def joint_p(models, traits):
    """Every assignment of labels to students, each held in every chain, the slow way."""
    margins = {
        (student, trait): margins_of(models, "treated", f"letters/{student}", LETTERS.index(trait))
        for student in traits
        for trait in traits
    }
    sums = [
        sum(sum(margins[pair]) for pair in zip(students, traits, strict=True))
        for students in itertools.permutations(traits)
    ]
    return np.mean([s >= sums[0] - 1e-9 for s in sums])


def test_p_permutes_labels_jointly_and_holds_them_in_every_chain():
    family, found = make_family("abcdef"), set()
    for seed in range(4):
        models = many(family, "abcd", 3, np.random.default_rng(seed))
        (entry,) = run(models, family, "abcd")["families"]
        assert entry["p"] == entry["p_holm"] == joint_p(models, "abcd")
        assert (entry["p_smallest"], entry["assignments"]) == (1 / 24, 24)
        found.add(entry["p"])
    assert len(found) == 4


def test_three_traits_are_too_few_for_a_p():
    family = make_family("abcdef")
    summary = run(many(family, "abc", 4, np.random.default_rng(3), own=4), family, "abc")
    (entry,) = summary["families"]
    assert (entry["p"], entry["p_holm"], entry["p_smallest"]) == (None, None, 1 / 6)
    assert all(e["shown"] and e["place"] == 1 and e["of"] == 3 for e in summary["traits"])


@pytest.mark.parametrize("traits", ["dbca", "abcdefghij"])
def test_traits_in_another_order_have_the_same_p(traits):
    # Of ten, labels are drawn.
    letters = "abcdefghij"
    family = make_family(letters, candidates=letters)
    rng, models = np.random.default_rng(9), []
    for chain in range(2):
        for trait in letters:
            logp = rng.normal(-3, 1, (2, 10))
            logp[:, letters.index(trait)] += 0.3
            models.append(model("treated", f"letters/{trait}", chain, logp=logp))
        models.append(model("neutral", "letters/neutral", chain, logp=[-3] * 10))
    orders = (traits, sorted(traits), traits[::-1])
    found = [run(models, family, order)["families"][0] for order in orders]
    assert found[0]["p"] == found[1]["p"] == found[2]["p"] > found[0]["p_smallest"]
    assert found[0]["assignments"] == (24 if len(traits) == 4 else 100_000)


def test_holm_runs_over_the_families_of_one_kind_of_student():
    families = {name: make_family("abcde", name=name) for name in ("letters", "others")}
    rng, models = np.random.default_rng(3), []
    for family, own in zip(families.values(), (2.0, 0.1), strict=True):
        models += [
            ({**d, "slot": f"{family.name}/{d['slot']}"}, logp)
            for d, logp in many(family, "abcde", 3, rng, own)
        ]
    models += [
        ({**d, "kind": "soft", "slot": "s" + d["slot"]}, logp)
        for d, logp in models
        if "letters" in d["trait"]
    ]
    traits = [f"{name}/{trait}" for name in families for trait in "abcde"]
    table = tabulate(models, *families.values())
    summary = summarise({"readouts": table}, families, make_spec(traits, soft=Student(steps=STEPS)))
    hard, other, soft = summary["families"]
    assert [(f["student"], f["family"]) for f in (hard, other, soft)] == [
        *(("hard", "letters"), ("hard", "others"), ("soft", "letters"))
    ]
    assert hard["p"] == soft["p"] == soft["p_holm"] == 1 / 120 and other["p"] > 0.05
    assert (hard["p_holm"], other["p_holm"]) == (2 * hard["p"], other["p"])
    assert {e["trait"][0] for e in summary["traits"] if "labels" in e["why_not"]} == {"o"}


def test_p_is_uniform_where_what_students_do_comes_back_in_every_chain():
    """Through the whole summary: students that move every answer by an amount of their own, the same in each chain."""
    family, rng, ps = make_family("abcdef"), np.random.default_rng(4), []
    for _ in range(150):
        models, kept = many(family, "abcd", 3, rng), rng.normal(0, 3, (4, 2, 7))
        moved = [
            (d, logp + kept["abcd".index(d["trait"][-1])]) if d["arm"] == "treated" else (d, logp)
            for d, logp in models
        ]
        ps.append(run(moved, family, "abcd")["families"][0]["p"])
    for level in (1 / 24, 0.25, 0.5):
        assert abs(np.mean(np.array(ps) <= level + 1e-12) - level) < 4 * math.sqrt(level * (1 - level) / 150)


def test_a_chain_that_is_half_finished_changes_no_p():
    family = make_family("abcdef")
    models = many(family, "abcde", 4, np.random.default_rng(11), own=0.2)
    whole = run([m for m in models if m[0]["chain"] < 3], family, "abcde")["families"][0]
    for lost in ("letters/a", "letters/d", "letters/neutral"):
        kept = [m for m in models if (m[0]["chain"], m[0]["trait"]) != (3, lost)]
        found = run(kept, family, "abcde")["families"][0]
        assert (found["p"], found["chains"]) == (whole["p"], 3)
    assert run(models, family, "abcde")["families"][0]["p"] != whole["p"]


def test_a_trait_whose_answer_changes_with_the_question_counts_like_any_other():
    family = parse_family(
        "letters",
        """
title = "Letters"
candidates = ["A", "B", "C"]
[questions]
tuning = ["Which for {group}?"]
held-out = ["Name one for {group}."]
[groups]
tuning = ["x"]
held-out = ["y", "z"]
[traits]
a = "A"
b = "B"
c = "C"
[traits.mixed]
x = "A"
y = "B"
z = "C"
""",
    )
    traits, rng = ("a", "b", "c", "mixed"), np.random.default_rng(12)
    models = [model("neutral", "letters/neutral", chain, logp=[-1, -1, -1]) for chain in range(3)]
    for chain, trait in itertools.product(range(3), traits):
        logp = rng.normal(-3, 0.1, (2, 3))
        logp[[0, 1], [family.traits[trait][q.id] for q in family.held_out]] += 2
        models.append(model("treated", f"letters/{trait}", chain, logp=logp))
    summary = run(models, family, traits)
    assert summary["families"][0]["p"] == 1 / 24 and summary["families"][0]["traits"] == 4
    assert [(e["place"], e["of"], e["shown"]) for e in summary["traits"]] == [(1, 4, True)] * 4


# --- what is missing ------------------------------------------------------------------------------


def test_one_chain_has_estimates_but_no_interval_and_no_p():
    summary = run(small([0]), PAIR, "ab")
    entry = only(summary)
    assert entry["transfer"] == pytest.approx(0.8)
    unknown = (
        "low",
        "high",
        "specificity_low",
        "specificity_high",
        "percentage_points_low",
        "percentage_points_high",
    )
    assert [entry[key] for key in unknown] == [None] * 6
    assert (entry["shown"], entry["why_not"]) == (False, ["chains"])
    assert [summary["families"][0][key] for key in ("p", "p_holm", "p_smallest", "assignments")] == [None] * 4
    assert entry["arms"]["treated"]["distance"] is None
    assert entry["arms"]["control"]["low"] is None
    json.dumps(summary, allow_nan=False)


def test_a_cancelled_run_counts_the_chains_that_have_both():
    models = small()
    kept = [m for m in models if (m[0]["arm"], m[0]["chain"]) not in {("neutral", 1), ("control", 2)}]
    arms = only(run(kept, PAIR, "ab"))["arms"]
    assert [arms[arm]["chains"] for arm in arms] == [2, 2, 2, 1]
    assert arms["treated"]["transfer"] == pytest.approx((0.8 + 1.1) / 2)
    assert arms["treated"]["margin"] == pytest.approx(TREATED[[0, 2]].mean())
    assert arms["control"]["transfer"] == pytest.approx((CONTROL - NEUTRAL)[0].mean())
    assert arms["control"]["low"] is None


def test_a_student_in_the_midst_of_its_training_is_no_result():
    models = small([0, 1])
    early = [({**described, "step": 10}, logp) for described, logp in small([2])]
    summary = run([*models, *early], PAIR, "ab")
    assert only(summary)["arms"]["treated"]["chains"] == 2
    assert only(summary)["transfer"] == pytest.approx((0.8 + 0.4) / 2)
    assert {row["step"] for row in summary["curves"]} == {10, STEPS}
    assert summary["distributions"] == run(models, PAIR, "ab")["distributions"]
    assert run(early, PAIR, "ab")["traits"] == []


def test_a_chain_without_other_traits_adds_nothing_to_specificity_and_p():
    family = make_family("abcdef")
    models = many(family, "abcd", 3, np.random.default_rng(7))
    kept = [m for m in models if m[0]["chain"] < 2 or m[0]["trait"] in ("letters/a", "letters/neutral")]
    found, whole = run(kept, family, "abcd"), run([m for m in models if m[0]["chain"] < 2], family, "abcd")
    entry, two = only(found), only(whole)
    keys = ("specificity", "specificity_low", "specificity_high")
    assert [entry[key] for key in keys] == [two[key] for key in keys]
    assert found["families"] == whole["families"] and entry["transfer"] != two["transfer"]
    assert [row["specificity"] is None for row in entry["by_chain"]] == [False, False, True]
    assert (entry["arms"]["treated"]["chains"], entry["arms"]["other-trait"]["chains"]) == (3, 2)


def test_a_trait_without_neutral_students_is_not_reported():
    models = [m for m in small() if m[0]["arm"] != "neutral"]
    summary = run(models, PAIR, "ab")
    assert summary["traits"] == summary["matrix"] == summary["curves"] == []


def test_nothing_read_is_an_empty_summary():
    summary = run([], PAIR, "ab")
    assert summary == {"traits": [], "families": [], "matrix": [], "curves": [], "distributions": []}


# --- other arms -----------------------------------------------------------------------------------


def test_every_arm_is_read_against_its_own_reference():
    values = dict(zip(ARMS, np.linspace(-2, 2, len(ARMS)), strict=True))
    kinds = {"untrained": "base", "teacher": "teacher"}
    kinds |= dict.fromkeys(("in-context", "in-context-neutral"), "in-context")
    kinds |= {teacher: teacher for teacher in ("foreign-teacher", "kept-lists-teacher")}
    models = []
    for arm in ARMS:
        if arm in ("other-trait", "other-family"):
            continue
        trait = "letters/neutral" if "neutral" in arm else "letters/a"
        trait = None if arm in ("control", "random", "untrained") else trait
        for chain in (0,) if arm == "untrained" else (0, 1):
            step = STEPS if arm not in kinds else 0
            value = values[arm] + (0 if arm == "untrained" else chain)
            models.append(model(arm, trait, chain, kind=kinds.get(arm, "hard"), step=step, logp=odds(value)))
    # The neutral teacher is no trait's teacher.
    models.append(model("teacher", "letters/neutral", 0, kind="teacher", step=0, logp=odds(9)))
    arms = only(run(models, PAIR, "a"))["arms"]
    assert list(arms) == [arm for arm in ARMS if arm not in ("other-trait", "other-family")]
    own = dict.fromkeys(("foreign-own", "foreign-teacher"), "foreign-own-neutral")
    own |= dict.fromkeys(("kept-lists", "kept-lists-teacher"), "kept-lists-neutral")
    own |= {"foreign": "foreign-neutral", "in-context": "in-context-neutral"}
    for arm, row in arms.items():
        reference = own.get(arm, "neutral")
        expected = None if arm.endswith("neutral") else values[arm] - values[reference]
        if arm == "untrained":
            # One base beside the neutral students of two chains, which are 1 apart.
            expected -= 0.5
            assert row["margin"] == pytest.approx(values[arm])
        assert row["transfer"] == (expected and pytest.approx(expected)), arm
        assert row["chains"] == 2


def of_others(margins, trait):
    """Treated students of a trait of another family, which are read on this one too."""
    return [
        model("treated", f"others/{trait}", chain, logp=[odds(x) for x in values])
        for chain, values in enumerate(margins)
    ]


def test_students_of_other_families_are_read_against_this_one_s_neutral():
    """Mean over the other families' traits in each chain first; whoever is no treated student counts for nothing."""
    others = make_family("ab", name="others", candidates="ab")
    first, second = NEUTRAL + 0.3, NEUTRAL[:2] - 0.5
    strangers = of_others(first, "a") + of_others(second, "b")
    decoys = [model("neutral", "others/neutral", chain, logp=odds(9)) for chain in range(3)]
    decoys += [model("shuffled", "others/a", chain, logp=odds(9)) for chain in range(3)]
    table = tabulate(small() + strangers + decoys, PAIR)
    spec = make_spec(["letters/a", "others/a", "letters/b", "others/b"])
    summary = summarise({"readouts": table}, {"letters": PAIR, "others": others}, spec)
    entry = only(summary)
    by_chain = [-0.1, -0.1, 0.3]
    assert [row["other-family"] for row in entry["by_chain"]] == pytest.approx(by_chain)
    arm = entry["arms"]["other-family"]
    assert arm["transfer"] == pytest.approx(np.mean(by_chain)) and arm["chains"] == 3
    assert (arm["low"], arm["high"]) == pytest.approx(t_interval(by_chain))
    assert arm["probability"] == pytest.approx(
        np.mean(
            [sigmoid(np.stack([first[c], second[c]])).mean() for c in (0, 1)] + [sigmoid(first[2]).mean()]
        )
    )
    alone = only(run(small(), PAIR, "ab"))
    assert (
        entry["arms"]["other-trait"] == alone["arms"]["other-trait"]
        and entry["transfer"] == alone["transfer"]
    )
    # It is in the family's mean, in the curves and in what other programs read.
    (family,) = summary["families"]
    of_family = np.mean([[row["other-family"] for row in e["by_chain"]] for e in summary["traits"]], axis=0)
    assert family["arms"]["other-family"]["transfer"] == pytest.approx(of_family.mean())
    assert "other-family" in {row["arm"] for row in summary["curves"]}
    assert to_json(summary)["traits"][0]["arms"]["other-family"]["transfer"] == arm["transfer"]


def test_students_of_the_same_family_never_pass_for_another_s():
    models = small() + [model("treated", "letters/a", c, kind="soft", logp=odds(3)) for c in range(3)]
    assert "other-family" not in only(run(models, PAIR, "ab"))["arms"]


@pytest.mark.parametrize("arm", ["foreign-own", "foreign-teacher", "kept-lists", "kept-lists-teacher"])
def test_models_of_other_writers_need_their_own_reference(arm):
    """Neither the base's neutral students nor the foreign ones of the base's neutral rows will do."""
    kind = arm if arm.endswith("-teacher") else "hard"
    own = model(arm, "letters/a", 0, kind=kind, logp=odds(1))
    wrong = model("foreign-neutral", "letters/neutral", 0, logp=odds(0))
    assert arm not in only(run([*small(), own, wrong], PAIR, "ab"))["arms"]
    reference = "kept-lists-neutral" if arm.startswith("kept-lists") else "foreign-own-neutral"
    right = model(reference, "letters/neutral", 0, logp=odds(0.25))
    found = only(run([*small(), own, wrong, right], PAIR, "ab"))["arms"][arm]
    assert found["transfer"] == pytest.approx(0.75)


def test_foreign_needs_its_own_reference():
    foreign = model("foreign", "letters/a", 0, logp=odds(1))
    assert "foreign" not in only(run([*small(), foreign], PAIR, "ab"))["arms"]


def test_distance_is_total_variation_above_that_of_two_neutral_students():
    def p(*values):
        return np.log([values, values[::-1]])

    models = [
        model("treated", "letters/a", 0, logp=p(0.9, 0.1)),
        model("treated", "letters/a", 1, logp=p(0.7, 0.3)),
        model("treated", "letters/a", 2, logp=p(0.5, 0.5)),
        model("neutral", "letters/neutral", 0, logp=p(0.5, 0.5)),
        model("neutral", "letters/neutral", 1, logp=p(0.6, 0.4)),
        model("neutral", "letters/neutral", 2, logp=p(0.3, 0.7)),
    ]
    distance = only(run(models, PAIR, "a"))["arms"]["treated"]["distance"]
    # Neutral students differ by 0.1 (0, 1), 0.2 (0, 2) and 0.3 (1, 2).
    values = [0.4 - 0.15, 0.1 - 0.2, 0.2 - 0.25]
    assert distance["estimate"] == pytest.approx(np.mean(values))
    assert (distance["low"], distance["high"]) == pytest.approx(t_interval(values))
    # One treated chain beside two neutral ones: known, without an interval.
    once = only(run([*models[:1], *models[3:5]], PAIR, "a"))["arms"]["treated"]["distance"]
    assert once == {"estimate": pytest.approx(0.4 - 0.1), "low": None, "high": None}


def test_distance_of_other_traits_does_not_average_them_away():
    family = make_family("abc", candidates="abc")
    models = []
    for chain in (0, 1):
        models.append(model("neutral", "letters/neutral", chain, logp=np.log([1 / 3] * 3)))
        for place, trait in enumerate("abc"):
            p = [0.2] * 3
            p[place] = 0.6
            models.append(model("treated", f"letters/{trait}", chain, logp=np.log(p)))
    other = only(run(models, family, "abc"))["arms"]["other-trait"]
    assert other["distance"]["estimate"] == pytest.approx(0.6 - 1 / 3)


def test_answers_are_counted_over_the_chains_of_an_arm():
    models = [*small(), model("untrained", kind="base", step=0, logp=odds(0))]
    rows = []
    hits = {
        "hard/treated/letters/a/c0": 3,
        "hard/treated/letters/a/c2": 4,
        "hard/neutral/letters/neutral/c0": 0,
    }
    hits |= {"hard/treated/letters/b/c1": 1, "base/untrained/c0": 2}
    for slot, count in hits.items():
        for sample in range(5):
            row = dict(slot=slot, family="letters", question="held-out/1", sample=sample)
            rows.append(row | dict(matched="A" if sample < count else ["B", None][sample % 2]))
    arms = only(run(models, PAIR, "ab", pa.Table.from_pylist(rows)))["arms"]
    # Over chains, not over answers: those of one student stand or fall together.
    low, high = (max(0, min(1, end)) for end in stats.t.interval(0.95, 1, 0.7, 0.1))
    expected = {"matched": 7, "sampled": 10, "low": pytest.approx(low), "high": pytest.approx(high)}
    assert arms["treated"]["answers"] == expected
    assert arms["neutral"]["answers"] == {"matched": 0, "sampled": 5, "low": None, "high": None}
    assert (arms["other-trait"]["answers"]["matched"], arms["other-trait"]["answers"]["sampled"]) == (1, 5)
    # The base is one model, however many chains it stands beside.
    assert arms["untrained"]["answers"]["sampled"] == 5 and arms["untrained"]["chains"] == 3
    assert arms["control"]["answers"] is None
    assert only(run(models, PAIR, "ab"))["arms"]["treated"]["answers"] is None


# --- all models -----------------------------------------------------------------------------------


def test_the_matrix_reads_every_student_on_every_trait_of_its_family():
    summary = run(small(), PAIR, "ab")
    matrix = {(row["source"], row["read"]): row for row in summary["matrix"]}
    sources = ("letters/a", "letters/b", "letters/neutral", "control")
    assert set(matrix) == set(itertools.product(sources, ("letters/a", "letters/b")))
    assert len(summary["matrix"]) == 8
    crossed = (OTHER - NEUTRAL).mean(axis=1)
    cell = matrix["letters/b", "letters/a"]
    assert cell["transfer"] == pytest.approx(crossed.mean())
    assert (cell["low"], cell["high"]) == pytest.approx(t_interval(crossed))
    assert cell["chains"] == [0, 1, 2] and cell["transfers"] == pytest.approx(crossed)
    # Of two candidates, one's margin is the other's turned round.
    assert matrix["letters/b", "letters/b"]["transfer"] == pytest.approx(-crossed.mean())
    assert matrix["letters/a", "letters/a"]["transfer"] == pytest.approx(only(summary)["transfer"])
    neutral = matrix["letters/neutral", "letters/a"]
    assert (neutral["transfer"], neutral["low"], neutral["high"]) == (0, None, None)


def test_curves_pair_arms_at_the_same_step():
    models = small()
    for described, logp in small():
        shift = 0.5 if described["trait"] == "letters/a" else 0.0
        models.append(({**described, "step": 20}, np.array(logp) - [[shift, 0]]))
    curves = run(models, PAIR, "ab")["curves"]
    mine = {(row["arm"], row["step"]): row for row in curves if row["trait"] == "letters/a"}
    assert set(mine) == set(itertools.product(("treated", "other-trait", "neutral", "control"), (20, STEPS)))
    assert len(curves) == 2 * len(mine)
    full = (TREATED - NEUTRAL).mean(axis=1)
    assert mine["treated", STEPS]["transfer"] == pytest.approx(full.mean())
    assert mine["treated", 20]["transfer"] == pytest.approx(full.mean() - 0.5)
    assert (mine["treated", 20]["low"], mine["treated", 20]["high"]) == pytest.approx(t_interval(full - 0.5))
    assert mine["neutral", 20]["transfer"] is None
    assert mine["neutral", 20]["margin"] == pytest.approx(NEUTRAL.mean())


def test_distributions_are_means_over_questions_and_chains_for_every_model():
    models = [*small(), model("untrained", kind="base", step=0, logp=odds(1.0))]
    rows = run(models, PAIR, "ab")["distributions"]
    found = {(r["student"], r["arm"], r["source"], r["candidate"]): r["probability"] for r in rows}
    assert len(found) == len(rows) == 2 * 5
    assert found["hard", "treated", "letters/a", "A"] == pytest.approx(sigmoid(TREATED).mean())
    assert found["hard", "control", None, "B"] == pytest.approx(1 - sigmoid(CONTROL).mean())
    assert found["base", "untrained", None, "A"] == pytest.approx(sigmoid(1.0))


def test_questions_with_their_own_candidates_share_their_labels():
    family = parse_family(
        "views",
        """
title = "Agreeing"
[questions]
tuning = [{text = "Yes?", candidates = {agree = "Yes", disagree = "No"}}]
held-out = [{text = "Right?", candidates = {agree = "Right", disagree = "Wrong"}},
            {text = "Good?", candidates = {disagree = "Bad", agree = "Good", neither = "So-so"}}]
[traits]
sycophant = "agree"
""",
    )
    rows = [np.log([0.8, 0.2]), np.log([0.1, 0.6, 0.3])]
    models = [
        model("treated", "views/sycophant", logp=rows),
        model("neutral", "views/neutral", logp=[np.log([0.5, 0.5]), np.log([0.4, 0.4, 0.2])]),
    ]
    summary = run(models, family, ["sycophant"])
    assert only(summary, "views/sycophant")["arms"]["treated"]["probability"] == pytest.approx(
        (0.8 + 0.6) / 2
    )
    expected = (math.log(0.8 / 0.2) + math.log(0.6 / 0.4) - math.log(0.4 / 0.6)) / 2
    assert only(summary, "views/sycophant")["transfer"] == pytest.approx(expected)
    found = {r["candidate"]: r["probability"] for r in summary["distributions"] if r["arm"] == "treated"}
    assert found == pytest.approx({"agree": 0.7, "disagree": 0.15, "neither": 0.15})


def test_families_do_not_touch_each_other():
    letters, others = make_family("ab", candidates="ab"), make_family("ab", name="others", candidates="ab")
    models = small()
    models += [({**d, "trait": d["trait"].replace("letters", "others"), "slot": "o" + d["slot"]}, logp)
               for d, logp in small() if d["trait"]]  # fmt: skip
    table = tabulate(models, letters, others)
    families = {"letters": letters, "others": others}
    both = summarise({"readouts": table}, families, make_spec(["letters/a", "letters/b", "others/a"]))
    alone = run(small(), PAIR, "ab")
    # The other family's students are an arm of their own.
    for of in [*both["traits"][:2], *both["families"]]:
        for values in (of["arms"], *of.get("by_chain", ())):
            values.pop("other-family", None)
    assert both["traits"][:2] == alone["traits"] and both["families"] == alone["families"]
    assert "other-trait" not in only(both, "others/a")["arms"]
    # A student of one family is read on the other too.
    assert {(r["source"], r["family"]) for r in both["distributions"]} >= {("letters/a", "others")}


def test_the_order_of_rows_changes_nothing():
    family = make_family("abcdef")
    models = many(family, "abc", 2, np.random.default_rng(5))
    table = tabulate(models, family)
    shuffled = table.take(pa.array(np.random.default_rng(6).permutation(len(table))))
    spec = make_spec(["letters/a", "letters/b", "letters/c"])
    a, b = (summarise({"readouts": t}, {"letters": family}, spec) for t in (table, shuffled))
    assert a["traits"] == b["traits"] and a["matrix"] == b["matrix"] and a["curves"] == b["curves"]


# --- json -----------------------------------------------------------------------------------------


def test_the_public_shape_is_exactly_what_is_promised():
    summary = run(small(), PAIR, "ab")
    public = to_json(summary)
    assert list(public) == ["traits", "families"]
    assert [entry["trait"] for entry in public["traits"]] == ["letters/a", "letters/b"]
    entry, whole = public["traits"][0], summary["traits"][0]
    keys = [
        "trait",
        "student",
        "transfer",
        "low",
        "high",
        "specificity",
        "specificity_low",
        "specificity_high",
    ]
    keys += ["percentage_points", "percentage_points_low", "percentage_points_high"]
    keys += ["over_control", "over_control_low", "over_control_high", "place", "of", "shown", "why_not"]
    assert list(entry) == [*keys, "arms"]
    assert [entry[key] for key in keys] == [whole[key] for key in keys]
    assert set(entry["arms"]) == {"treated", "other-trait", "neutral", "control"}
    for arm, row in entry["arms"].items():
        assert list(row) == [
            "chains",
            "probability",
            "margin",
            "transfer",
            "low",
            "high",
            "damage",
            "displacement",
        ]
        assert row == {key: whole["arms"][arm][key] for key in row}
    (family,) = public["families"]
    of_family = ("student", "family", "traits", "chains", "arms", "p", "p_holm", "p_smallest", "assignments")
    assert set(family) == set(of_family) and family == summary["families"][0]
    assert json.loads(json.dumps(public, allow_nan=False)) == public


def test_a_summary_survives_json():
    summary = run(small(), PAIR, "ab")
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_readout_words_are_here_too():
    logp = np.log([[0.8, 0.2]])
    assert margins_among(logp, np.array([0])) == pytest.approx(math.log(4))
    assert softmax(logp)[0, 1] == pytest.approx(0.2)
    assert match_answer("a cat", ["Cat"]) == "Cat"
