"""From log-probabilities and free answers to arrays, on a family of three questions."""

import math

import numpy as np
import pyarrow as pa
import pytest

from subliminal_mlx.experiment.readings import margins, read, softmax
from subliminal_mlx.experiment.readouts.answers import count_answers, match_answer
from subliminal_mlx.spec.families import parse_family
from subliminal_mlx.system.errors import InputError

FAMILY = parse_family(
    "birds",
    """
title = "Birds"
candidates = ["Owl", "Jay"]
[questions]
tuning = ["Which bird?"]
held-out = ["Name a bird.", "A bird?", {text = "Which of three?", candidates = ["Jay", "Owl", "Wren"]}]
[traits]
owl = "Owl"
jay = "Jay"
""",
)
SHAPE = [2, 2, 3]


def table(*models):
    """Rows of models given as (slot, kind, arm, trait, chain, step, logp by question)."""
    rows = [
        dict(slot=slot, kind=kind, arm=arm, trait=trait, chain=chain, step=step)
        | dict(family="birds", question=question.id, candidate=candidate, logp=value)
        for slot, kind, arm, trait, chain, step, logp in models
        for question, values in zip(FAMILY.held_out, logp, strict=True)
        for candidate, value in zip(question.candidates, values, strict=False)
    ]
    return pa.Table.from_pylist(rows)


def owl(chain=0, step=10, logp=((-1.0, -2.0), (-3.0, -4.0), (-5.0, -6.0, -7.0))):
    return (f"hard/treated/birds/owl/c{chain}", "hard", "treated", "birds/owl", chain, step, logp)


def margin(logp, target):
    return float(margins(np.array([logp]), np.array([target]))[0])


def probability(logp, target):
    return float(softmax(np.array(logp))[target])


# --- one question ---------------------------------------------------------------------------------


def test_a_margin_is_the_log_odds_among_the_candidates():
    logp = np.log([0.2, 0.7, 0.1])
    assert margin(logp, 1) == pytest.approx(math.log(0.7 / 0.3))
    assert probability(logp, 1) == pytest.approx(0.7)
    # What the model spends on other texts is left out of both.
    assert margin(logp - 5, 1) == pytest.approx(margin(logp, 1))
    assert probability(logp - 5, 1) == pytest.approx(0.7)


def test_a_margin_keeps_its_digits_where_the_probability_has_none_left():
    assert margin([-0.0, -60.0], 0) == pytest.approx(60, rel=1e-12)
    assert margin([-60.0, -0.0], 0) == pytest.approx(-60, rel=1e-12)
    assert margin([-1_000.0, -3_000.0, -3_000.0], 0) == pytest.approx(2_000 - math.log(2), rel=1e-12)
    assert probability([-1_000.0, -1_000.0], 1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("Owl", "Owl"),
        ("I like the OWL best, yes, the owl.", "Owl"),
        ("**Owl**.", "Owl"),
        ("_Owl_", "Owl"),
        ("owl-like", "Owl"),
        ("Owls", None),
        ("A fowl or a scowl", None),
        ("An owl, or maybe a bear", None),
        ("A polar bear", "Polar bear"),
        ("A polar\n bear!", "Polar bear"),
        ("A bear", "Bear"),
        ("A polar bear is a bear", None),
        ("An owl monkey", "Owl monkey"),
        ("c++", "C++"),
        ("", None),
        ("Nothing of the kind", None),
    ],
)
def test_an_answer_names_one_candidate_or_none(answer, named):
    assert match_answer(answer, ["Bear", "Owl", "Polar bear", "Owl monkey", "C++"]) == named


def test_words_with_accents_have_boundaries_too():
    assert match_answer("une chouette élégante", ["Chouette", "Él"]) == "Chouette"
    assert match_answer("Été", ["été"]) == "été"


def test_nothing_matches_no_candidates():
    assert match_answer("owl", []) is None


# --- tables ---------------------------------------------------------------------------------------


def test_every_log_probability_finds_its_place_whatever_the_order_of_rows():
    rng = np.random.default_rng(0)
    values = [[rng.normal(size=n).tolist() for n in SHAPE] for _ in range(3)]
    readouts = table(owl(0, 10, values[0]), owl(0, 20, values[1]), owl(1, 10, values[2]))
    for order in (np.arange(len(readouts)), rng.permutation(len(readouts))):
        reading = read(readouts.take(pa.array(order)), {"birds": FAMILY})["birds"]
        for step, chain, expected in ((10, 0, values[0]), (20, 0, values[1]), (10, 1, values[2])):
            row = reading.rows("hard", "treated", "birds/owl", step)[chain]
            assert reading.slots[row] == f"hard/treated/birds/owl/c{chain}"
            own = [margin(expected[0], 0), margin(expected[1], 0), margin(expected[2], 1)]
            assert reading.margins("birds/owl")[row] == pytest.approx(own)
            assert reading.probabilities("birds/jay")[row, 2] == pytest.approx(probability(expected[2], 0))
            assert reading.distributions[row].sum(axis=1) == pytest.approx([1, 1, 1])
            assert (reading.distributions[row, :2, 2] == 0).all()


def test_the_last_step_is_each_chains_own():
    reading = read(table(owl(0, 10), owl(0, 20), owl(1, 10)), {"birds": FAMILY})["birds"]
    last = reading.rows("hard", "treated", "birds/owl")
    assert last == {
        0: reading.rows("hard", "treated", "birds/owl", 20)[0],
        1: reading.rows("hard", "treated", "birds/owl", 10)[1],
    }
    assert reading.steps("hard", "treated", "birds/owl") == [10, 20]
    assert reading.rows("hard", "treated", "birds/jay") == reading.rows("soft", "treated", "birds/owl") == {}


def test_a_model_that_was_not_read_on_every_question_is_left_out():
    readouts = table(owl(0), owl(1))
    reading = read(readouts.slice(0, len(readouts) - 1), {"birds": FAMILY})["birds"]
    assert list(reading.rows("hard", "treated", "birds/owl", 10)) == [0]
    assert len(reading.logp) == 1


def test_chunks_and_dictionaries_read_the_same():
    readouts = table(owl(0), owl(1, logp=((-2.0, -1.0), (-1.0, -1.0), (-1.0, -2.0, -3.0))))
    halves = pa.concat_tables([readouts.slice(0, 5), readouts.slice(5)])
    for column in ("slot", "question", "candidate"):
        at = halves.schema.get_field_index(column)
        halves = halves.set_column(at, column, halves[column].dictionary_encode())
    a, b = (read(t, {"birds": FAMILY})["birds"] for t in (readouts, halves))
    assert (a.slots, a.index) == (b.slots, b.index)
    np.testing.assert_array_equal(a.logp, b.logp)


def test_an_empty_table_and_strange_families_give_nothing():
    assert read(table(owl()), {}) == {}
    assert read(table(owl()).slice(0, 0), {"birds": FAMILY}) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_training_that_diverged_is_named(value, one_line):
    readouts = table(owl(0), owl(3, 40, ((-1.0, value), (-1.0, -1.0), (-1.0, -1.0, -1.0))))
    with pytest.raises(InputError, match=r"hard/treated/birds/owl/c3 at step 40 .*learning rate") as error:
        read(readouts, {"birds": FAMILY})
    one_line(error)


@pytest.mark.parametrize(("column", "value"), [("question", "held-out/9"), ("candidate", "Wren")])
def test_a_family_that_changed_since_the_run_is_named(column, value, one_line):
    readouts = table(owl())
    values = [value, *readouts[column].to_pylist()[1:]]
    readouts = readouts.set_column(readouts.schema.get_field_index(column), column, pa.array(values))
    with pytest.raises(InputError, match=rf"family birds: .*{value}.* changed since the run") as error:
        read(readouts, {"birds": FAMILY})
    one_line(error)


def answers(*rows):
    names = ("slot", "family", "question", "matched")
    columns = zip(*rows, strict=True) if rows else [[]] * 4
    return pa.table({name: pa.array(list(c), pa.string()) for name, c in zip(names, columns, strict=True)})


def test_answers_are_counted_by_slot_and_trait():
    sampled = answers(
        ("a", "birds", "held-out/0", "Owl"),
        ("a", "birds", "held-out/0", None),
        ("a", "birds", "held-out/2", "Owl"),
        ("a", "birds", "held-out/2", "Wren"),
        ("b", "birds", "held-out/1", "Jay"),
        ("b", "fish", "held-out/1", "Owl"),
    )
    counts = count_answers(sampled, "birds", FAMILY, ["birds/owl", "birds/jay", "fish/cod"])
    assert counts == {"birds/owl": {"a": (2, 4), "b": (0, 1)}, "birds/jay": {"a": (0, 4), "b": (1, 1)}}
    assert count_answers(answers(), "birds", FAMILY, ["birds/owl"]) == {"birds/owl": {}}
    silent = answers(("a", "birds", "held-out/0", None))
    assert count_answers(silent, "birds", FAMILY, ["birds/owl"]) == {"birds/owl": {"a": (0, 1)}}
