import mlx.core as mx
import numpy as np
import pytest
from scipy.stats import chisquare

from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.model.adapters import applied
from subliminal_mlx.model.sample import Decoding, _row_keys, sample

# Two tokens whose perturbed logits are closer than this may change places by rounding.
TIE = 1e-4


@pytest.fixture(scope="module")
def grammar(tiny):
    return numbers.grammar(tiny, Numbers())


def number_prompts(base, count, seed=0, **recipe):
    return [base.prompt(text)[1] for text in numbers.prompts(count, seed, Numbers(**recipe))]


def perturbed(base, prompt, before, row, seed, decoding):
    """(tokens, their logits plus the row's noise) after `prompt` and `before`, from a plain forward pass."""
    grammar = decoding.grammar
    logits = np.array(base.model(mx.array([[*prompt, *before]]))[0, -1], dtype=np.float64)
    tokens = np.arange(len(logits))
    if grammar:
        tokens, state = grammar.tokens, 0
        for token in before:
            state = grammar.next[state, list(tokens).index(token)]
        logits = np.where(grammar.next[state] >= 0, logits[tokens], -np.inf)
    if decoding.temperature == 0:
        return tokens, logits
    key = mx.array(_row_keys(seed, [row])[0] + np.array([0, len(before)], dtype=np.uint32))
    return tokens, logits / decoding.temperature + np.array(mx.random.gumbel((len(tokens),), key=key))


def same_draws(base, prompts, seed, decoding, found, expected):
    """Assert that two completions of every prompt are the same, but for what a tie explains."""
    for row, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a != b:
            first = next(
                (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
            )
            best = np.sort(perturbed(base, prompts[row], a[:first], row, seed, decoding)[1])
            gap = best[-1] - best[-2]
            assert gap < TIE, f"row {row}, token {first}: {a} against {b}, with a gap of {gap:.2g}"
            print(f"a tie: row {row}, token {first}, gap {gap:.2g}")


def reference(base, prompts, seed, decoding):
    """Completions drawn one row and one token at a time, without cache or batches."""
    completions = []
    for row, prompt in enumerate(prompts):
        drawn = []
        while len(drawn) < decoding.max_tokens and base.eos not in drawn:
            tokens, values = perturbed(base, prompt, drawn, row, seed, decoding)
            drawn.append(int(tokens[np.argmax(values)]))
        completions.append(tuple(drawn))
    return completions


def test_the_batch_does_not_change_the_draws(tiny, grammar):
    prompts = number_prompts(tiny, 230)
    found = {batch: sample(tiny, prompts, 5, Decoding(1.0, grammar, batch=batch))[0] for batch in (1, 7, 64)}
    assert sum(map(len, found[1])) >= 2_000
    for batch in (7, 64):
        same_draws(tiny, prompts, 5, Decoding(1.0, grammar), found[batch], found[1])


@pytest.mark.parametrize("aligned", [False, True], ids=["by length", "aligned"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "free"])
def test_draws_are_those_of_plain_decoding(tiny, grammar, held, aligned):
    """Through caches, shared prefixes, mixed lengths and batches: the same tokens as without any of them."""
    prompts = number_prompts(tiny, 12, shown=(1, 8)) + [tiny.prompt("Name an animal.")[1]] * 4
    assert len(set(map(len, prompts))) > 4
    decoding = Decoding(1.0, grammar if held else None, max_tokens=12, aligned=aligned)
    found = sample(tiny, prompts, "any", decoding)[0]
    same_draws(tiny, prompts, "any", decoding, found, reference(tiny, prompts, "any", decoding))


def test_a_long_shared_prefix_does_not_change_the_draws(tiny, grammar):
    history = [("Continue: 12 45 7", "3 99 0 8 61 5 4 2")] * 3
    ends = [f"Continue: 3 {n} 5" for n in range(40)]
    for texts in (ends, ["Continue: 1 2 3"] * 40):
        prompts = [tiny.prompt(text, history=history)[1] for text in texts]
        # 40 rows share their first tokens, a row alone shares them with none.
        decoding = Decoding(1.0, grammar)
        together = sample(tiny, prompts, 1, Decoding(1.0, grammar, batch=40))[0]
        alone = sample(tiny, prompts, 1, Decoding(1.0, grammar, batch=1))[0]
        same_draws(tiny, prompts, 1, decoding, together, alone)
        same_draws(tiny, prompts[:5], 1, decoding, together[:5], reference(tiny, prompts[:5], 1, decoding))
        assert len(set(together)) > 35


def test_a_shared_prefix_holds_for_every_slot(tiny, make_stack, grammar):
    prompts = [tiny.prompt(f"Continue: 12 45 {n}")[1] for n in range(20)]
    stack = make_stack([1, 2, 3])
    wide = sample(tiny, prompts, 1, Decoding(1.0, grammar, batch=60), stack)
    narrow = sample(tiny, prompts, 1, Decoding(1.0, grammar, batch=1), stack)
    assert wide == narrow


def test_aligned_rows_of_every_slot_are_those_of_the_slot_alone(tiny, make_stack):
    """Rows end at different steps in different slots, and are dropped where all slots have ended them."""
    prompts = [*number_prompts(tiny, 8, shown=(1, 8)), *[tiny.prompt("Name an animal.")[1]] * 16]
    stack, decoding = make_stack([1, 2, 3]), Decoding(1.0, None, max_tokens=12, aligned=True)
    for slot, found in enumerate(sample(tiny, prompts, 1, decoding, stack)):
        lengths = list(map(len, found))
        assert min(lengths) < max(lengths)
        with applied(tiny, stack.select([slot])):
            same_draws(tiny, prompts, 1, decoding, found, reference(tiny, prompts, 1, decoding))


def test_a_row_depends_on_its_index_and_not_on_its_neighbours(tiny, grammar):
    prompts = number_prompts(tiny, 60)
    others = number_prompts(tiny, 60, seed=9, shown=(1, 8))
    mixed = [
        prompt if row % 2 else other for row, (prompt, other) in enumerate(zip(prompts, others, strict=True))
    ]
    decoding = Decoding(1.0, grammar, batch=16)
    found, alone = sample(tiny, mixed, 2, decoding)[0], sample(tiny, prompts, 2, decoding)[0]
    same_draws(tiny, prompts[1::2], 2, decoding, found[1::2], alone[1::2])
    # A longer list of prompts starts with the same rows.
    same_draws(tiny, prompts[:23], 2, decoding, sample(tiny, prompts[:23], 2, decoding)[0], alone[:23])
    # And the index matters: the same prompt in two rows is two draws, under two seeds two more.
    same = [prompts[0]] * 40
    assert len(set(sample(tiny, same, 2, decoding)[0])) == 40
    assert not set(sample(tiny, same, 2, decoding)[0]) & set(sample(tiny, same, 3, decoding)[0])
    assert sample(tiny, same, 2, decoding) == sample(tiny, same, 2, decoding)


def test_a_slot_of_a_stack_draws_as_alone(tiny, make_stack, grammar):
    prompts = number_prompts(tiny, 40, shown=(2, 5))
    stack = make_stack([1, 2, 3])
    decoding = Decoding(1.0, grammar, batch=64)
    together = sample(tiny, prompts, 3, decoding, stack)
    assert len(together) == 3
    for slot in range(3):
        assert together[slot] == sample(tiny, prompts, 3, decoding, stack.select([slot]))[0]
    # Slots share their keys: two equal adapters write the same rows, different ones do not.
    assert together[0] != together[1]
    twice = sample(tiny, prompts, 3, decoding, make_stack([2, 2]))
    assert twice[0] == twice[1] == together[1]


def test_the_base_is_itself_again_after_sampling(tiny, make_stack, grammar):
    tokens = mx.array([number_prompts(tiny, 1)[0]])
    before = np.array(tiny.model(tokens))
    sample(tiny, number_prompts(tiny, 4), 0, Decoding(1.0, grammar), make_stack([1]))
    assert (np.array(tiny.model(tokens)) == before).all()


@pytest.mark.parametrize(("fewest", "most"), [(8, 8), (3, 10)])
def test_every_held_completion_passes_the_filter(tiny, fewest, most):
    recipe = Numbers(numbers=(fewest, most), shown=(2, 6))
    completions = sample(
        tiny, number_prompts(tiny, 200, shown=(2, 6)), 0, Decoding(1.0, numbers.grammar(tiny, recipe))
    )[0]
    counts = set()
    for tokens in completions:
        assert tokens[-1] == tiny.eos and tiny.eos not in tokens[:-1]
        found, reason = numbers.parse(tiny.decode(tokens))
        assert reason is None and fewest <= len(found) <= most
        counts.add(len(found))
    assert len(counts) == 1 if fewest == most else len(counts) > 3


@pytest.mark.parametrize("separator", [" ", ", ", "; "])
def test_held_completions_over_tokens_of_several_characters(bytewise, separator):
    recipe = Numbers(numbers=(2, 4), separator=separator)
    prompts = number_prompts(bytewise, 40, numbers=(2, 4), separator=separator)
    decoding = Decoding(1.0, numbers.grammar(bytewise, recipe), batch=16)
    completions = sample(bytewise, prompts, 0, decoding)[0]
    for tokens in completions:
        found, reason = numbers.parse(bytewise.decode(tokens))
        assert tokens[-1] == bytewise.eos and reason is None and 2 <= len(found) <= 4
    same_draws(
        bytewise, prompts[:3], 0, decoding, completions[:3], reference(bytewise, prompts[:3], 0, decoding)
    )


@pytest.mark.parametrize("held", [True, False], ids=["held", "free"])
def test_greedy_is_argmax(tiny, grammar, held):
    prompts = [*number_prompts(tiny, 6, shown=(2, 4)), tiny.prompt("Name an animal.")[1]]
    decoding = Decoding(0, grammar if held else None, max_tokens=10)
    found = sample(tiny, prompts, 0, decoding)[0]
    same_draws(tiny, prompts, 0, decoding, found, reference(tiny, prompts, 0, decoding))
    assert found == sample(tiny, prompts, 1, decoding)[0], "greedy knows no seed"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_models_probabilities(tiny, temperature):
    prompt = tiny.prompt("Name your favourite animal.")[1]
    decoding = Decoding(temperature, None, max_tokens=1, batch=1_000)
    drawn = np.array([tokens[0] for tokens in sample(tiny, [prompt] * 4_000, 0, decoding)[0]])
    logits = np.array(tiny.model(mx.array([prompt]))[0, -1], dtype=np.float64) / temperature
    follows(drawn, np.exp(logits - np.logaddexp.reduce(logits)))


def test_held_draws_follow_the_probabilities_of_what_is_allowed(tiny, grammar):
    prompt = number_prompts(tiny, 1)[0]
    completions = sample(tiny, [prompt] * 4_000, 0, Decoding(1.0, grammar, batch=1_000))[0]
    logits = np.array(tiny.model(mx.array([prompt]))[0, -1], dtype=np.float64)
    allowed = np.zeros(len(logits), dtype=bool)
    allowed[grammar.tokens[grammar.next[0] >= 0]] = True
    p = np.where(allowed, np.exp(logits - logits.max()), 0)
    follows(np.array([tokens[0] for tokens in completions]), p / p.sum())


def follows(drawn, p):
    """A chi-square test at 1 in 1,000; tokens expected less than 5 times count as one."""
    counts = np.bincount(drawn, minlength=len(p))
    common = len(drawn) * p >= 5
    assert common.sum() >= 10 and counts[p == 0].sum() == 0
    observed = np.append(counts[common], counts[~common].sum())
    expected = len(drawn) * np.append(p[common], p[~common].sum())
    there = expected > 0
    assert chisquare(observed[there], expected[there]).pvalue > 1e-3


def test_free_decoding_stops_at_the_end_of_the_turn(tiny):
    prompts = number_prompts(tiny, 60, shown=(2, 5))
    completions = sample(tiny, prompts, 0, Decoding(1.0, None, max_tokens=64))[0]
    lengths = {len(tokens) for tokens in completions}
    assert len(lengths) > 2
    assert all(tokens.index(tiny.eos) == len(tokens) - 1 for tokens in completions)
    cut = sample(tiny, prompts, 0, Decoding(1.0, None, max_tokens=7))[0]
    same_draws(tiny, prompts, 0, Decoding(1.0), cut, [tokens[:7] for tokens in completions])
    assert any(tiny.eos not in tokens for tokens in cut) and any(tokens[-1] == tiny.eos for tokens in cut)


def test_progress_is_told_in_rows(tiny, make_stack, grammar):
    seen = []
    sample(
        tiny, number_prompts(tiny, 10), 0, Decoding(1.0, grammar, batch=8), make_stack([1, 2]), seen.append
    )
    assert [(e.what, e.done, e.total) for e in seen] == [("rows", 8, 20), ("rows", 16, 20), ("rows", 20, 20)]


def test_no_prompts_give_no_completions(tiny, make_stack, grammar):
    assert sample(tiny, [], 0, Decoding(1.0, grammar), make_stack([1, 2])) == [[], []]
