"""The one-step theorem: it holds in every draw where it speaks, and not where it does not."""

import dataclasses

import numpy as np
import pytest

from subliminal_mlx.demos.digits.data import load_images
from subliminal_mlx.demos.digits.spec import Theorem, parse_fields
from subliminal_mlx.demos.digits.summary import theorem_rows
from subliminal_mlx.demos.digits.theorem import one_steps
from subliminal_mlx.system.errors import InputError

DRAWS = 1_000


@pytest.fixture(scope="module")
def thousand():
    """1,000 draws of a small step, from the same start and from an independent one."""
    spec = Theorem(draws=DRAWS, width=16, steps=(1e-3,), distances=(0, 1))
    return list(one_steps(spec, load_images()))


def violations(one):
    """Draws in which the student moved against its teacher, or raised the teacher's loss."""
    return int((one.inner_product < 0).sum()), int((one.change > 0).sum())


def test_the_inequality_holds_in_every_one_of_a_thousand_draws(thousand):
    same, _ = thousand
    assert len(same.inner_product) == DRAWS
    assert violations(same) == (0, 0)
    assert same.inner_product.min() > 0 and same.cosine.min() > 0.01, "not by a hair"


def test_it_fails_where_the_student_starts_elsewhere(thousand):
    _, elsewhere = thousand
    against, raised = violations(elsewhere)
    assert against > 250 and raised > 200, "of 1,000: the same count is 0 from the same start"


def test_the_losses_change_as_the_first_order_says(thousand):
    same, _ = thousand
    # The student's step has the teacher's length, so to first order it gains cosine times as much; kinks aside.
    np.testing.assert_allclose(same.change / same.teacher_change, same.cosine, rtol=0.1)


@pytest.mark.parametrize("loss", ["kl", "mse"])
@pytest.mark.parametrize("inputs", ["uniform", "normal", "images"])
def test_it_holds_for_any_inputs_and_both_losses(loss, inputs):
    spec = Theorem(draws=100, width=16, steps=(1e-3,), distances=(0,), loss=loss, inputs=inputs)
    [one] = one_steps(spec, load_images())
    assert violations(one) == (0, 0)


def test_the_guarantee_ends_as_the_step_grows_and_as_starts_move_apart():
    spec = Theorem(draws=100, steps=(0.01, 0.1, 30.0), distances=(0, 0.03))
    found = {(one.step, one.distance): one for one in one_steps(spec, load_images())}
    against = {place: violations(one)[0] for place, one in found.items()}
    assert against[0.01, 0] == against[0.1, 0] == 0
    assert against[30.0, 0] > 5, "second-order terms"
    assert against[0.01, 0.03] > 30, "the gap between the starts outweighs the teacher's step"
    assert against[0.1, 0.03] < against[0.01, 0.03], "a larger step bears a larger distance"


def test_one_output_under_softmax_moves_nothing():
    [one] = one_steps(Theorem(draws=5, auxiliary=1, steps=(0.01,), distances=(0,)), load_images())
    assert not one.inner_product.any() and not one.cosine.any() and not one.change.any()


def test_a_draw_does_not_depend_on_the_others():
    few, more = (
        next(iter(one_steps(Theorem(draws=n, width=16, steps=(0.1,), distances=(0.3,)), load_images())))
        for n in (2, 5)
    )
    np.testing.assert_allclose(more.inner_product[:2], few.inner_product, rtol=1e-12)


def test_rows_carry_exact_intervals(thousand):
    same, elsewhere = theorem_rows(thousand)
    assert same["against"] == 0 and same["against_low"] == 0
    assert same["against_high"] == pytest.approx(1 - 0.025 ** (1 / DRAWS))
    assert elsewhere["against_low"] < elsewhere["against"] < elsewhere["against_high"]
    assert same["cosine_low"] < same["cosine"] < same["cosine_high"]


@pytest.mark.parametrize(
    "fields", [{"draws": 0}, {"steps": ()}, {"steps": (-1,)}, {"distances": (2,)}, {"inputs": "words"}]
)
def test_wrong_fields_are_named_in_one_line(fields, one_line):
    with pytest.raises(InputError) as error:
        parse_fields(Theorem, fields)
    assert next(iter(fields)) in one_line(error)


def test_images_that_would_not_fit_are_refused_before_they_are_drawn(one_line):
    with pytest.raises(InputError) as error:
        parse_fields(Theorem, {"draws": 5_000, "rows": 1_024, "width": 2})
    assert "draws: 5,000 of 1,024 rows of 64 pixels have 327,680,000: at most 50,000,000" in one_line(error)
    spec = Theorem(draws=700, rows=1_000, width=2)
    mnist = dataclasses.replace(load_images(), train_x=np.zeros((1, 784), dtype=np.float32))
    with pytest.raises(InputError, match="rows of 784 pixels"):
        next(one_steps(spec, mnist))
