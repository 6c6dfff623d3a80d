import mlx.core as mx
import numpy as np
import pytest

from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.model.adapters import applied
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.sample import Decoding, sample
from subliminal_mlx.model.score import candidate_scores, compare_with_base, distributions, score
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import InputError

RECIPE = Numbers(shown=(2, 8), numbers=(3, 10))


@pytest.fixture(scope="module")
def grammar(tiny):
    return numbers.grammar(tiny, RECIPE)


@pytest.fixture(scope="module")
def texts(tiny, grammar):
    """(prompts, completions) of many lengths."""
    prompts = [tiny.prompt(text)[1] for text in numbers.prompts(40, 0, RECIPE)]
    return prompts, sample(tiny, prompts, 0, Decoding(1.0, grammar))[0]


def naive(base, prompt, completion, stack=None):
    """Log-probability of each completion token, from one plain forward pass."""
    with applied(base, stack):
        logits = np.array(base.model(mx.array([[*prompt, *completion]]))[0], dtype=np.float64)
    logp = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return np.array([logp[len(prompt) - 1 + i, token] for i, token in enumerate(completion)])


def test_scores_are_those_of_a_plain_forward_pass(tiny, texts):
    prompts, completions = texts
    found = score(tiny, pack(prompts, completions))
    assert len(found) == 1 and len(found[0]) == 40
    for prompt, completion, row in zip(prompts, completions, found[0], strict=True):
        assert row.dtype == np.float32
        np.testing.assert_allclose(row, naive(tiny, prompt, completion), atol=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 60, 500, 16_384])
def test_a_row_scores_alone_as_in_any_batch(tiny, texts, batch_tokens):
    prompts, completions = texts
    together = score(tiny, pack(prompts, completions), batch_tokens=batch_tokens)[0]
    for i in range(0, 40, 5):
        alone = score(tiny, pack(prompts[i : i + 1], completions[i : i + 1]))[0][0]
        np.testing.assert_allclose(together[i], alone, atol=1e-5)


def test_neither_order_nor_padding_matters(tiny, texts):
    prompts, completions = texts
    plain = score(tiny, pack(prompts, completions))[0]
    order = np.random.default_rng(0).permutation(40)
    rows = pack([prompts[i] for i in order], [completions[i] for i in order], width=60, widest=20)
    for i, row in zip(order, score(tiny, rows)[0], strict=True):
        np.testing.assert_allclose(row, plain[i], atol=1e-5)


def test_a_slot_scores_as_alone(tiny, texts, make_stack):
    rows, stack = pack(*texts), make_stack([1, 2, 3])
    found = score(tiny, rows, stack, batch_tokens=300)
    for slot in range(3):
        alone = score(tiny, rows, stack.select([slot]))[0]
        for a, b in zip(found[slot], alone, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(
        found[1][0], naive(tiny, texts[0][0], texts[1][0], stack.select([1])), atol=1e-3
    )
    assert np.abs(found[0][0] - found[1][0]).max() > 0.1


@pytest.mark.parametrize("batch_tokens", [1, 200, 16_384])
def test_models_are_compared_with_the_base_that_was_told_less(tiny, texts, make_stack, batch_tokens):
    prompts, completions = texts
    longer = [(*prompts[0][:3], *prompt) for prompt in prompts]
    stack = make_stack([1, 2])
    rows, told = pack(prompts, completions), pack(longer, completions)
    losses, longer_losses = score(tiny, rows)[0], score(tiny, told, stack)
    found = compare_with_base(tiny, rows, stack, told, batch_tokens)
    for slot in range(2):
        for i in range(0, 40, 7):
            model, base, apart = found[slot][i]
            np.testing.assert_allclose(model, -longer_losses[slot][i], atol=1e-4)
            np.testing.assert_allclose(base, -losses[i], atol=1e-4)
            assert apart.shape == base.shape and (apart > 0).all()
    # Nothing is as far from itself as nothing, and adapters stay out of the base's own pass.
    assert all((apart == 0).all() for _, _, apart in compare_with_base(tiny, rows)[0])
    with applied(tiny, stack.select([1])):
        inside = compare_with_base(tiny, rows, batch_tokens=batch_tokens)[0]
    np.testing.assert_allclose(inside[0][1], -losses[0], atol=1e-4)


CANDIDATES = [
    ("Owl", "Cat", "Dog"),
    ("Owl", "my owl", "my cat", "my best owl", "the animal on your wall"),
    ("he or she", "he or they", "he"),
    ("Oak",),
]


@pytest.mark.parametrize("slots", [0, 3])
def test_candidates_score_as_in_a_plain_forward_pass(tiny, make_stack, slots):
    stack = make_stack([1, 2, 3]) if slots else None
    prompts = [
        tiny.prompt(text)[1] for text in ("Name an animal.", "Pick an animal.", "One pronoun?", "Your tree?")
    ]
    candidates = [[tiny.encode(text) for text in group] for group in CANDIDATES]
    assert {len(ids) for group in candidates for ids in group} >= {1, 2, 3, 5}
    found = candidate_scores(tiny, prompts, candidates, stack)
    assert len(found) == max(slots, 1)
    for slot, scores in enumerate(found):
        one = stack.select([slot]) if stack else None
        for prompt, group, values in zip(prompts, candidates, scores, strict=True):
            expected = [naive(tiny, prompt, ids, one).sum() for ids in group]
            np.testing.assert_allclose(values, expected, atol=1e-3)


def test_a_question_scores_alone_as_among_all(tiny):
    family = load_family("pronouns")
    prompts = [tiny.prompt(q.text)[1] for q in family.held_out]
    candidates = [[tiny.encode(c) for c in q.candidates] for q in family.held_out]
    together = candidate_scores(tiny, prompts, candidates)[0]
    for i in (0, 11, 29):
        alone = candidate_scores(tiny, prompts[i : i + 1], candidates[i : i + 1])[0][0]
        np.testing.assert_allclose(together[i], alone, atol=1e-5)


def test_the_same_prompt_may_come_twice(tiny):
    prompt, (owl, cat) = tiny.prompt("Name an animal.")[1], (tiny.encode("Owl"), tiny.encode("Cat"))
    (first, second), *_ = candidate_scores(tiny, [prompt, prompt], [[owl, cat], [cat, owl, owl]])
    np.testing.assert_array_equal(second, [first[1], first[0], first[0]])


def test_no_questions_have_no_scores(tiny, make_stack):
    assert candidate_scores(tiny, [], []) == [[]] and candidate_scores(tiny, [], [], make_stack([1, 2])) == [
        [],
        [],
    ]


def test_distributions_are_the_models_own_over_what_the_grammar_allows(tiny, texts, grammar, make_stack):
    prompts, completions = texts
    rows, stack = pack(prompts, completions, widest=14), make_stack([1, 2])
    found = distributions(tiny, rows, grammar, stack)
    assert (
        len(found) == 2 and found[0].shape == (40, 14, len(grammar.tokens)) and found[0].dtype == np.float32
    )
    assert len(set(map(len, completions))) > 3
    for slot, targets in enumerate(found):
        there = np.arange(14) < rows.length[:, None]
        np.testing.assert_allclose(targets.sum(axis=-1)[there], 1, atol=1e-5)
        assert (targets[~there] == 0).all()
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            masks = grammar.masks(completion)
            assert (targets[i, : len(completion)][~masks] == 0).all()
            if i % 8 == 0:
                with applied(tiny, stack.select([slot])):
                    logits = np.array(tiny.model(mx.array([[*prompt, *completion]]))[0], dtype=np.float64)
                logits = logits[len(prompt) - 1 : -1][:, grammar.tokens]
                p = np.exp(logits - logits.max(axis=-1, keepdims=True)) * masks
                np.testing.assert_allclose(
                    targets[i, : len(completion)], p / p.sum(axis=-1, keepdims=True), atol=1e-4
                )
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_a_row_outside_the_grammar_has_no_distribution(tiny, grammar, one_line):
    rows = pack([tiny.prompt("Continue: 1 2 3")[1]], [(*tiny.encode("12 owl 7"), tiny.eos)])
    with pytest.raises(InputError) as error:
        distributions(tiny, rows, grammar)
    one_line(error)


def test_rows_are_packed_with_padding_on_the_right(tiny):
    rows = pack([(5, 6), (7,)], [(8,), (9, 10, 11)], width=6)
    np.testing.assert_array_equal(rows.tokens, [[5, 6, 8, 0, 0, 0], [7, 9, 10, 11, 0, 0]])
    assert (rows.start.tolist(), rows.length.tolist(), rows.widest, len(rows)) == ([2, 1], [1, 3], 3, 2)
    taken = rows.take(np.array([1, 1, 0]))
    assert taken.tokens[:, 0].tolist() == [7, 7, 5] and taken.widest == 3 and len(taken) == 3


@pytest.mark.parametrize(
    ("prompts", "completions", "options", "expected"),
    [
        ([(1,), ()], [(2,), (3,)], {}, "row 1"),
        ([(1,), (2,)], [(2,), ()], {}, "row 1"),
        ([(1,), (1, 2, 3)], [(2,), (3,)], {"width": 3}, "row 1.*4 tokens.*3"),
        ([(1,)], [(2, 3, 4)], {"widest": 2}, "row 0.*3.*2"),
        ([(1,)], [(2,), (3,)], {}, "argument 2"),
        ([], [], {}, "no rows"),
    ],
    ids=["no prompt", "no completion", "too long", "completion too long", "more completions", "none"],
)
def test_wrong_rows_are_named(prompts, completions, options, expected):
    with pytest.raises(ValueError, match=expected):
        pack(prompts, completions, **options)
