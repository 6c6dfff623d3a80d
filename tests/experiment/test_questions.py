"""Questions are read as their own log-probabilities, whatever is asked beside them."""

import numpy as np

from subliminal_mlx.experiment.questions import ask_questions, read_candidates
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.score import score
from subliminal_mlx.spec.families import load_family


def test_every_candidate_is_read_where_it_stands(tiny, make_stack):
    """Questions of two families, of 16 and of 3 candidates, against the tokens' own scores."""
    asked = [load_family("animals").held_out[0], load_family("pronouns").held_out[1]]
    stack = make_stack([1, 2], size=0.1)
    found = read_candidates(tiny, asked, stack)
    assert found.shape == (2, 2, 16)
    for q, question in enumerate(asked):
        count = len(question.candidates)
        prompts = [tiny.prompt(question.text)[1]] * count
        rows = pack(prompts, [tiny.encode(c) for c in question.candidates])
        for slot, scores in enumerate(score(tiny, rows, stack)):
            assert np.allclose(found[slot, q, :count], [s.sum() for s in scores], atol=1e-4)
        assert (found[:, q, count:] == -np.inf).all()
    assert not np.array_equal(found[0], found[1])
    assert read_candidates(tiny, asked).shape == (1, 2, 16)


def test_what_is_said_before_a_question_changes_its_answers(tiny):
    asked = load_family("animals").held_out[:2]
    bare, told = (read_candidates(tiny, asked, history=h) for h in ((), [("Continue: 1 2 3", "4 5 6")]))
    assert bare.shape == told.shape and not np.allclose(bare, told)


def test_answers_are_drawn_by_their_seed_alone(tiny, make_stack):
    asked = load_family("animals").held_out[:2]
    stack = make_stack([1, 2], size=0.1)
    said = ask_questions(tiny, asked, 3, 5, stack)
    assert [[len(drawn) for drawn in slot] for slot in said] == [[3, 3], [3, 3]]
    assert said == ask_questions(tiny, asked, 3, 5, stack) != ask_questions(tiny, asked, 3, 6, stack)
    assert ask_questions(tiny, asked[:1], 3, 5, stack) == [slot[:1] for slot in said]
