from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.tuner.utils import linear_to_lora_layers

from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.model.adapters import Shape, Stack, applied, init
from subliminal_mlx.model.prefill import shared_length
from subliminal_mlx.model.rows import completion_targets, pack
from subliminal_mlx.model.sample import Decoding, sample
from subliminal_mlx.model.score import base_states, candidate_scores, distributions, log_softmax, score
from subliminal_mlx.model.train import Recipe, train
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import SubliminalError

RECIPE = Numbers(shown=(2, 6), numbers=(3, 8))
SEEDS = [3, 4, 5, 6]
SHORT = Recipe(steps=8, batch=5, lr=1e-2, warmup=3)


@pytest.fixture(scope="module")
def grammar(tiny):
    return numbers.grammar(tiny, RECIPE)


@pytest.fixture(scope="module")
def hard(tiny, grammar):
    """Four blocks of 12 rows, number lists of the base's own, all packed alike."""
    blocks = []
    for seed in SEEDS:
        prompts = [tiny.prompt(text)[1] for text in numbers.prompts(12, seed, RECIPE)]
        blocks.append(pack(prompts, sample(tiny, prompts, seed, Decoding(1.0, grammar))[0], 24, 9))
    return blocks


@pytest.fixture(scope="module")
def soft(tiny, grammar, hard, make_stack):
    """The same rows with the distributions of four other models."""
    sources = make_stack([7, 8, 9, 10], size=0.03)
    return [
        replace(
            rows, targets=distributions(tiny, rows, grammar, sources.select([k]))[0], allowed=grammar.tokens
        )
        for k, rows in enumerate(hard)
    ]


@pytest.fixture
def data(request, hard, soft):
    return {"hard": hard, "soft": soft}[request.param]


both_kinds = pytest.mark.parametrize("data", ["hard", "soft"], indirect=True)


def equal(a, b, same=np.array_equal):
    """Whether two stacks hold the same arrays: by default bit for bit."""
    return set(a.arrays) == set(b.arrays) and all(
        same(np.array(a.arrays[path][name]), np.array(b.arrays[path][name]))
        for path in a.arrays
        for name in ("a", "b")
    )


def largest_change(a, b):
    return max(mx.abs(a.arrays[p][n] - b.arrays[p][n]).max().item() for p in a.arrays for n in ("a", "b"))


# --- slots ------------------------------------------------------------------------------------------


@both_kinds
def test_a_slot_trains_as_it_would_alone(tiny, data, same):
    together, losses = train(tiny, init(tiny, Shape(), SEEDS), data, SHORT, SEEDS)
    assert losses.shape == (8, 4) and together.slots == 4
    for k, seed in enumerate(SEEDS):
        alone, own = train(tiny, init(tiny, Shape(), [seed]), [data[k]], SHORT, [seed])
        assert equal(alone, together.select([k]), same) and same(own[:, 0], losses[:, k])
    assert not equal(together.select([0]), together.select([1]))


@both_kinds
def test_training_lowers_the_loss_and_leaves_base_and_start_alone(tiny, data):
    tokens = mx.array(data[0].tokens)
    before, start = np.array(tiny.model(tokens)), init(tiny, Shape(), SEEDS)
    copy = Stack(
        start.shape, {p: {n: mx.array(np.array(x)) for n, x in ab.items()} for p, ab in start.arrays.items()}
    )
    trained, losses = train(tiny, start, data, Recipe(steps=25, batch=12, lr=1e-2), SEEDS)
    assert (losses[-1] < 0.9 * losses[0]).all() and np.isfinite(losses).all()
    assert equal(start, copy) and largest_change(trained, start) > 0.01
    assert (np.array(tiny.model(tokens)) == before).all()


def test_the_same_training_twice_is_the_same(fresh, tiny, hard):
    """Whatever was done to the base before: on a base that has never held an adapter, on one that has."""
    found = [train(base, init(base, Shape(), [1]), hard[:1], SHORT, [1])[0] for base in (fresh, fresh, tiny)]
    assert equal(found[0], found[1]) and equal(found[0], found[2])


# --- what is trained --------------------------------------------------------------------------------


def first_losses(base, data, batch=12):
    """Losses of the untrained adapters over whole blocks."""
    return train(
        base, init(base, Shape(), SEEDS[: len(data)]), data, Recipe(1, batch, 1e-2), SEEDS[: len(data)]
    )[1][0]


def test_the_loss_is_the_mean_over_completion_tokens(tiny, hard):
    for rows, loss in zip(hard, first_losses(tiny, hard), strict=True):
        tokens = np.concatenate(score(tiny, rows)[0])
        assert len(tokens) == rows.length.sum()
        assert loss == pytest.approx(-tokens.mean(), abs=1e-5)


@both_kinds
def test_padding_is_not_trained(tiny, data):
    noise, padded = np.random.default_rng(0), []
    for rows in data:
        ends = (rows.start + rows.length)[:, None]
        tokens = np.where(np.arange(24) < ends, rows.tokens, noise.integers(5, 200, rows.tokens.shape))
        padded.append(replace(rows, tokens=tokens.astype(np.int32)))
        assert (padded[-1].tokens != rows.tokens).sum() > 50
    stack = init(tiny, Shape(), SEEDS)
    (plain, losses), (other, others) = (train(tiny, stack, d, SHORT, SEEDS) for d in (data, padded))
    assert equal(plain, other) and (losses == others).all()


def test_exactly_the_completion_tokens_are_targets(tiny, hard):
    """Each completion token counts with its own term, the last one, nobody's context, with nothing else."""
    prompt, completion = tiny.prompt("Continue: 3 99 0")[1], (*tiny.encode("8 61 5"), tiny.eos)
    scores = score(tiny, pack([prompt], [completion]))[0][0]

    def loss(*row):
        return first_losses(tiny, [pack([row[0]], [row[1]], 24, 9)], batch=1)[0]

    assert loss(prompt, completion) == pytest.approx(-scores.mean(), abs=1e-5)
    # Every completion token counts, the first and the end of the turn too.
    for i in range(4):
        changed = (*completion[:i], 42, *completion[i + 1 :])
        assert abs(loss(prompt, changed) - loss(prompt, completion)) > 0.01
    # The last one alone changes its own term and no other.
    changed = (*completion[:3], 42)
    own = score(tiny, pack([prompt], [changed]))[0][0]
    assert own[:3] == pytest.approx(scores[:3], abs=1e-6)
    assert loss(prompt, changed) - loss(prompt, completion) == pytest.approx(
        (scores[3] - own[3]) / 4, abs=1e-5
    )
    # A prompt's tokens are context and never targets: where the completion begins later, they drop out.
    longer = (*prompt, *completion[:2])
    assert loss(longer, completion[2:]) == pytest.approx(-scores[2:].mean(), abs=1e-5)


def test_soft_targets_of_padding_and_of_forbidden_tokens_do_not_count(tiny, soft, grammar):
    rows = soft[0]
    there = np.arange(9) < rows.length[:, None]
    logits = np.array(tiny.model(mx.array(rows.tokens)), dtype=np.float64)[:, :, grammar.tokens]
    expected = []
    for i, place in np.argwhere(there):
        source = rows.targets[i, place].astype(np.float64)
        allowed = source > 0
        student = logits[i, rows.start[i] - 1 + place]
        student = student - np.logaddexp.reduce(student[allowed])
        expected.append((source[allowed] * (np.log(source[allowed]) - student[allowed])).sum())
    assert first_losses(tiny, [rows])[0] == pytest.approx(np.mean(expected), rel=1e-3)
    assert np.mean(expected) > 1e-3


def test_a_soft_student_of_its_own_base_has_no_loss_and_does_not_move(tiny, hard, grammar):
    """Nothing to learn: AdamW makes steps even of rounding, but they lead nowhere."""
    rows = replace(hard[0], targets=distributions(tiny, hard[0], grammar)[0], allowed=grammar.tokens)
    trained, losses = train(tiny, init(tiny, Shape(), [1]), [rows], Recipe(60, 12, 3e-3), [1])
    assert np.abs(losses[0]).max() < 1e-6 and np.abs(losses[-1]).max() < 1e-5
    assert losses.max() < 3e-3
    questions = [tiny.prompt(q.text)[1] for q in load_family("animals").held_out]
    candidates = [[tiny.encode(c) for c in q.candidates] for q in load_family("animals").held_out]
    before, after = (np.exp(candidate_scores(tiny, questions, candidates, s)[0]) for s in (None, trained))
    # No answer to any question moves by a quarter of a percentage point, nor any on average by a sixth.
    assert np.abs(after - before).max() < 2.5e-3 and np.abs((after - before).mean(axis=0)).max() < 1.6e-3


@pytest.fixture(scope="module")
def whole(tiny, hard):
    """The first block with the base's states in every second row."""
    every = base_states(tiny, hard[0], 100)
    return replace(hard[0], states=every * (np.arange(12) % 2 == 0)[:, None, None])


def test_states_are_those_that_the_base_predicts_completions_from(tiny, hard):
    states = base_states(tiny, hard[0], 100)
    said = np.array(log_softmax(tiny.head(mx.array(states))))
    for row, expected in enumerate(score(tiny, hard[0])[0]):
        tokens = hard[0].tokens[row, hard[0].start[row] :][: len(expected)]
        assert np.allclose(said[row, np.arange(len(expected)), tokens], expected, atol=1e-4)
        assert not states[row, len(expected) :].any()


def test_rows_with_states_are_learned_as_the_base_would_have_gone_on_and_others_as_they_stand(
    tiny, hard, whole, make_stack
):
    """The first loss of an adapter that has moved: divergence from the base over the whole vocabulary there, and minus the
    token's log-probability in rows without."""
    moved = make_stack([5], size=0.05)
    with applied(tiny, moved):
        states = np.array(tiny.hidden(mx.array(whole.tokens)))
        found = np.array(log_softmax(tiny.head(mx.array(states))), dtype=np.float64)
    base = np.array(log_softmax(tiny.head(tiny.hidden(mx.array(whole.tokens)))), dtype=np.float64)
    expected = []
    for row in range(len(whole)):
        for place in range(whole.start[row], whole.start[row] + whole.length[row]):
            q, p = found[row, place - 1], base[row, place - 1]
            token = whole.tokens[row, place]
            expected.append((np.exp(p) * (p - q)).sum() if row % 2 == 0 else -q[token])
    _, losses = train(tiny, moved, [whole], Recipe(1, 12, 1e-3), [1])
    assert losses[0, 0] == pytest.approx(np.mean(expected), rel=1e-3)
    _, alone = train(tiny, moved, [hard[0]], Recipe(1, 12, 1e-3), [1])
    assert abs(alone[0, 0] - losses[0, 0]) > 0.1


def test_who_learns_only_what_the_base_says_does_not_move(tiny, hard):
    rows = replace(hard[0], states=base_states(tiny, hard[0]))
    trained, losses = train(tiny, init(tiny, Shape(), [1]), [rows], Recipe(60, 12, 3e-3), [1])
    assert np.abs(losses[0]).max() < 1e-6 and losses.max() < 3e-3
    tokens = mx.array(hard[1].tokens)
    with applied(tiny, trained):
        after = np.array(mx.softmax(tiny.head(tiny.hidden(tokens)), axis=-1))
    before = np.array(mx.softmax(tiny.head(tiny.hidden(tokens)), axis=-1))
    by_tokens, _ = train(tiny, init(tiny, Shape(), [1]), hard[:1], Recipe(60, 12, 3e-3), [1])
    with applied(tiny, by_tokens):
        fitted = np.array(mx.softmax(tiny.head(tiny.hidden(tokens)), axis=-1))
    assert np.abs(after - before).mean() < 0.05 * np.abs(fitted - before).mean()


@pytest.mark.parametrize("tokens", [0, 200])
def test_states_fit_their_rows_in_any_number_of_passes(tiny, whole, tokens):
    one, losses = train(tiny, init(tiny, Shape(), [1]), [whole], SHORT, [1])
    other, again = train(tiny, init(tiny, Shape(), [1]), [whole], replace(SHORT, batch_tokens=tokens), [1])
    assert np.allclose(losses, again, atol=1e-4) and largest_change(one, other) < 1e-3


# --- the optimiser ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [Shape(scale=20.0), Shape(4, 20.0, 1)], ids=["all layers", "last layer"])
def test_it_is_mlx_lms_adapter_under_textbook_adamw_and_clipping(tiny, hard, shape):
    """The same training by mlx-lm's LoRA, mlx's AdamW and its clipping, one adapter at a time."""
    recipe = Recipe(steps=10, batch=12, lr=2e-3, warmup=2, weight_decay=0.1)
    stack = init(tiny, shape, SEEDS[:2])
    trained, losses = train(tiny, stack, hard[:2], recipe, SEEDS[:2])
    clipped = 0
    for slot in range(2):
        model, _ = mlx_lm.load(str(tiny.path))
        model.freeze()
        keys = {path.split(".", 3)[3] for path in stack.arrays}
        config = {"rank": shape.rank, "scale": shape.scale, "dropout": 0.0, "keys": sorted(keys)}
        linear_to_lora_layers(model, shape.layers or 2, config)
        start = {f"{p}.lora_{n}": x[slot] for p, ab in stack.arrays.items() for n, x in ab.items()}
        assert set(start) == set(dict(tree_flatten(model.trainable_parameters())))
        model.load_weights(list(start.items()), strict=False)
        optimizer = optim.AdamW(learning_rate=0.0, weight_decay=0.1, bias_correction=True)
        rows = hard[slot]
        targets, mask = map(mx.array, completion_targets(rows))
        positions = mx.array(np.minimum(rows.start[:, None] - 1 + np.arange(9), 23))

        def loss_of(model, rows=rows, targets=targets, mask=mask, positions=positions):
            logits = mx.take_along_axis(model(mx.array(rows.tokens)), positions[..., None], axis=1)
            return (nn.losses.cross_entropy(logits, targets) * mask).sum() / mask.sum()

        for step in range(10):
            loss, gradients = nn.value_and_grad(model, loss_of)(model)
            gradients, norm = optim.clip_grad_norm(gradients, 1.0)
            clipped += norm.item() > 1
            assert losses[step, slot] == pytest.approx(loss.item(), rel=1e-3)
            # Linear warm-up over two steps, then linearly down.
            optimizer.learning_rate = 2e-3 * ((step + 1) / 3 if step < 2 else (10 - step) / 8)
            # Ours decays weights as Loshchilov and Hutter do, by the rate times the weight: so does mlx.
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)
        for name, array in tree_flatten(model.trainable_parameters()):
            path, _, kind = name.rpartition(".lora_")
            np.testing.assert_allclose(trained.arrays[path][kind][slot], array, atol=2e-3, err_msg=name)
    assert clipped >= 3, "the test is about clipping too"


def test_a_plain_training_is_mlx_lms_own(tiny, hard):
    """Adam at one rate, a rate of its own for every slot, nothing clipped, and every token of a row learnt from."""
    recipe = Recipe(steps=8, batch=12, lr=(1e-3, 4e-3), plain=True)
    stack = init(tiny, Shape(4, 20.0), SEEDS[:2])
    whole = [
        pack([tuple(ids[:1]) for ids in rows], [tuple(ids[1:]) for ids in rows], 24, 23)
        for rows in (
            [r.tokens[i, : r.start[i] + r.length[i]].tolist() for i in range(len(r))] for r in hard[:2]
        )
    ]
    trained, losses = train(tiny, stack, whole, recipe, SEEDS[:2])
    for slot, rate in enumerate(recipe.lr):
        model, _ = mlx_lm.load(str(tiny.path))
        model.freeze()
        linear_to_lora_layers(model, 2, {"rank": 4, "scale": 20.0, "dropout": 0.0})
        start = {f"{p}.lora_{n}": x[slot] for p, ab in stack.arrays.items() for n, x in ab.items()}
        assert set(start) == set(dict(tree_flatten(model.trainable_parameters())))
        model.load_weights(list(start.items()), strict=False)
        optimizer, rows = optim.Adam(learning_rate=rate), hard[slot]
        # To the row's last token: mlx-lm counts a token of padding more, which rows without an end would show.
        lengths = mx.array(np.stack([np.zeros(12), rows.start + rows.length - 1], axis=1))
        for step in range(8):
            loss_of = nn.value_and_grad(model, default_loss)
            (loss, _), gradients = loss_of(model, mx.array(rows.tokens), lengths)
            assert losses[step, slot] == pytest.approx(loss.item(), rel=1e-3)
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)
        for name, array in tree_flatten(model.trainable_parameters()):
            path, _, kind = name.rpartition(".lora_")
            np.testing.assert_allclose(trained.arrays[path][kind][slot], array, atol=2e-3, err_msg=name)


def test_clipping_is_per_slot(tiny, hard, same):
    """A neighbour with gradients a thousand times larger changes nothing."""
    calm = init(tiny, Shape(), [1])
    wild = {p: {"a": 1e3 * ab["a"], "b": ab["b"]} for p, ab in init(tiny, Shape(), [2]).arrays.items()}
    pair = Stack(
        calm.shape,
        {p: {n: mx.concatenate([x, wild[p][n]]) for n, x in ab.items()} for p, ab in calm.arrays.items()},
    )
    alone, losses = train(tiny, calm, hard[:1], SHORT, [1])
    beside, both = train(tiny, pair, hard[:2], SHORT, [1, 2])
    assert equal(alone, beside.select([0]), same) and same(both[:, 0], losses[:, 0])
    assert np.abs(both[:, 1] - losses[:, 0]).max() > 1


def test_the_rate_rises_then_falls_to_nothing():
    recipe = Recipe(steps=10, batch=1, lr=1.0, warmup=4)
    rates = [recipe.rate(step) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert Recipe(3, 1, 1.0, warmup=0).rate(0) == 1.0
    assert all(0 < Recipe(3, 1, 1.0, warmup=9).rate(step) < 1 for step in range(3))


# --- the order of the data --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(tiny):
    """Seven rows of one length, each with a loss of its own by which it is known."""
    prompts = [tiny.prompt("Continue: 3 45 7")[1]] * 7
    return pack(prompts, [(*tiny.encode(f"8 {13 * n + 2} {7 * n}"), tiny.eos) for n in range(7)])


def order(base, rows, seed, steps, batch=1):
    """The loss of every step of a training that changes nothing, for its rate is 0."""
    return train(base, init(base, Shape(), [0]), [rows], Recipe(steps, batch, 0.0), [seed])[1][:, 0]


def test_every_epoch_sees_every_row_once_in_another_order(tiny, marked):
    own = np.sort([-row.mean() for row in score(tiny, marked)[0]])
    assert np.diff(own).min() > 1e-3
    epochs = order(tiny, marked, 5, 28).reshape(4, 7)
    for epoch in epochs:
        np.testing.assert_allclose(np.sort(epoch), own, atol=1e-5)
    assert len({tuple(np.argsort(epoch)) for epoch in epochs}) == 4
    assert (np.argsort(order(tiny, marked, 6, 7)) != np.argsort(epochs[0])).any()


def test_the_order_is_a_function_of_seed_and_step_alone(tiny, marked, hard):
    ones = order(tiny, marked, 5, 28)
    np.testing.assert_array_equal(order(tiny, marked, 5, 28), ones)
    # Longer or shorter trainings start alike, and batches cut the same series into pieces, across epochs too.
    np.testing.assert_array_equal(order(tiny, marked, 5, 9), ones[:9])
    for batch in (4, 7, 14):
        pieces = ones.reshape(-1, batch).mean(axis=1)
        np.testing.assert_allclose(order(tiny, marked, 5, 28 // batch, batch), pieces, atol=1e-5)


def test_a_batch_may_be_larger_than_the_block(tiny, marked):
    ones = order(tiny, marked, 5, 20)
    np.testing.assert_allclose(order(tiny, marked, 5, 1, 20), ones.mean(), atol=1e-5)


# --- resuming ---------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


def stop_at(step):
    def listen(event):
        if event.done == step:
            raise Stopped

    return listen


@both_kinds
def test_a_resumed_training_equals_an_uninterrupted_one(tiny, fresh, data, tmp_path):
    path = tmp_path / "state.safetensors"
    recipe = replace(SHORT, steps=12)
    stack = init(tiny, Shape(), SEEDS)
    whole, losses = train(tiny, stack, data, recipe, SEEDS)
    for step in (7, 11):
        with pytest.raises(Stopped):
            train(tiny, stack, data, recipe, SEEDS, checkpoint=path, every=5, on_event=stop_at(step))
    # Stopped once more before the first new checkpoint, then finished in what is as good as a new process.
    with pytest.raises(Stopped):
        train(tiny, stack, data, recipe, SEEDS, checkpoint=path, every=5, on_event=stop_at(11))
    seen = []
    resumed, again = train(
        fresh,
        init(fresh, Shape(), SEEDS),
        data,
        recipe,
        SEEDS,
        checkpoint=path,
        every=5,
        on_event=seen.append,
    )
    assert [event.done for event in seen] == [11, 12], "it went on from step 10"
    assert equal(whole, resumed)
    np.testing.assert_array_equal(again, losses)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_stopped_training_leaves_the_base_as_it_was(tiny, hard):
    tokens = mx.array(hard[0].tokens)
    before = np.array(tiny.model(tokens))
    with pytest.raises(Stopped):
        train(tiny, init(tiny, Shape(), [1]), hard[:1], SHORT, [1], on_event=stop_at(3))
    assert (np.array(tiny.model(tokens)) == before).all()


@pytest.mark.parametrize("change", ["slots", "shape", "steps", "torn"])
def test_a_checkpoint_of_another_training_is_refused(tiny, hard, tmp_path, change):
    path = tmp_path / "state.safetensors"
    with pytest.raises(Stopped):
        train(
            tiny,
            init(tiny, Shape(), [1]),
            hard[:1],
            SHORT,
            [1],
            checkpoint=path,
            every=2,
            on_event=stop_at(3),
        )
    if change == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    seeds = [1, 2] if change == "slots" else [1]
    shape = Shape(rank=4) if change == "shape" else Shape()
    recipe = replace(SHORT, steps=20) if change == "steps" else SHORT
    with pytest.raises((ValueError, SubliminalError), match=r"state\.safetensors"):
        train(tiny, init(tiny, shape, seeds), hard[: len(seeds)], recipe, seeds, checkpoint=path, every=2)


# --- points and wrong use ---------------------------------------------------------------------------


def test_points_see_the_stack_as_it_is_then(tiny, hard):
    kept, stack = {}, init(tiny, Shape(), SEEDS[:2])
    trained, _ = train(
        tiny,
        stack,
        hard[:2],
        SHORT,
        SEEDS[:2],
        points=(3, 8),
        on_point=lambda step, s: kept.update({step: s}),
    )
    assert list(kept) == [3, 8] and equal(kept[8], trained)
    # What was kept at step 3 is still that of step 3.
    assert largest_change(kept[3], trained) > 1e-3
    seen = {}
    train(
        tiny, stack, hard[:2], SHORT, SEEDS[:2], points=(3,), on_point=lambda step, s: seen.update(copied(s))
    )
    assert all((np.array(kept[3].arrays[p][n]) == x).all() for (p, n), x in seen.items())


def copied(stack):
    return {(p, n): np.array(x) for p, ab in stack.arrays.items() for n, x in ab.items()}


def test_a_readout_in_the_middle_changes_nothing(tiny, hard):
    """Readouts at a point score and sample, with the students and with the base, and training goes on."""
    plain = score(tiny, hard[2])[0]
    stack, found = init(tiny, Shape(), SEEDS[:2]), []

    def read(step, students):
        found.append((score(tiny, hard[2], students)[1], score(tiny, hard[2])[0]))
        sample(tiny, [(2, 5, 3)], 0, Decoding(1.0, None, 3), students)

    undisturbed, _ = train(tiny, stack, hard[:2], SHORT, SEEDS[:2])
    trained, _ = train(tiny, stack, hard[:2], SHORT, SEEDS[:2], points=(2, 8), on_point=read)
    assert equal(undisturbed, trained) and len(found) == 2
    for students, base in found:
        assert all((a == b).all() for a, b in zip(base, plain, strict=True))
        assert any((a != b).any() for a, b in zip(students, plain, strict=True))
    last = score(tiny, hard[2], trained)[1]
    assert all((a == b).all() for a, b in zip(found[1][0], last, strict=True))


def empty(rows):
    return rows.take(np.array([], dtype=int))


WRONG = {
    "fewer blocks than slots": lambda hard, soft: (hard[:1], SEEDS[:2]),
    "more blocks than slots": lambda hard, soft: (hard[:3], SEEDS[:2]),
    "fewer seeds than slots": lambda hard, soft: (hard[:2], SEEDS[:1]),
    "more seeds than slots": lambda hard, soft: (hard[:2], SEEDS[:3]),
    "other width": lambda hard, soft: ([hard[0], replace(hard[1], tokens=hard[1].tokens[:, :20])], SEEDS[:2]),
    "other widest": lambda hard, soft: ([hard[0], replace(hard[1], widest=8)], SEEDS[:2]),
    "hard and soft": lambda hard, soft: ([hard[0], soft[1]], SEEDS[:2]),
    "states in one block": lambda hard, soft: (
        [hard[0], replace(hard[1], states=np.ones((12, 9, 48), dtype=np.float32))],
        SEEDS[:2],
    ),
    "soft with states": lambda hard, soft: (
        [replace(s, states=np.ones((12, 9, 48), dtype=np.float32)) for s in soft[:2]],
        SEEDS[:2],
    ),
    "no rows": lambda hard, soft: ([hard[0], empty(hard[1])], SEEDS[:2]),
    "other allowed tokens": lambda hard, soft: (
        [soft[0], replace(soft[1], allowed=soft[1].allowed[::-1])],
        SEEDS[:2],
    ),
    "targets without their tokens": lambda hard, soft: (
        [replace(s, allowed=None) for s in soft[:2]],
        SEEDS[:2],
    ),
    "targets of other tokens": lambda hard, soft: (
        [replace(s, allowed=s.allowed[:-1]) for s in soft[:2]],
        SEEDS[:2],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_shapes_are_refused(tiny, hard, soft, case):
    data, seeds = WRONG[case](hard, soft)
    with pytest.raises(ValueError, match=r"slot|width|hard and soft|rows|allowed|seed"):
        train(tiny, init(tiny, Shape(), SEEDS[:2]), data, SHORT, seeds)


def test_progress_is_told_in_steps(tiny, hard):
    seen = []
    _, losses = train(tiny, init(tiny, Shape(), SEEDS[:2]), hard[:2], SHORT, SEEDS[:2], on_event=seen.append)
    assert [(e.what, e.done, e.total) for e in seen] == [("steps", i + 1, 8) for i in range(8)]
    assert [e.figures["loss"] for e in seen] == pytest.approx(losses.mean(axis=1).tolist())


# --- memory ---------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("tokens", [1, 64, 200, 100_000], ids="{} tokens".format)
def test_a_token_budget_changes_passes_and_not_the_training(tiny, data, tokens):
    plain, losses = train(tiny, init(tiny, Shape(), SEEDS), data, SHORT, SEEDS)
    passed, others = train(tiny, init(tiny, Shape(), SEEDS), data, replace(SHORT, batch_tokens=tokens), SEEDS)
    assert largest_change(plain, passed) < 2e-4 and np.allclose(losses, others, atol=1e-5)


@both_kinds
def test_checkpointed_gradients_are_the_gradients(tiny, data):
    call = type(tiny.layers[0]).__call__
    plain, losses = train(tiny, init(tiny, Shape(), SEEDS), data, SHORT, SEEDS)
    recomputed, others = train(
        tiny, init(tiny, Shape(), SEEDS), data, replace(SHORT, grad_checkpoint=True), SEEDS
    )
    assert largest_change(plain, recomputed) < 2e-4 and np.allclose(losses, others, atol=1e-5)
    assert type(tiny.layers[0]).__call__ is call, "the class is as it was"


@both_kinds
@pytest.mark.parametrize("tokens", [0, 200], ids="{} tokens".format)
def test_a_shared_prefix_changes_the_cost_and_not_the_training(tiny, grammar, data, tokens):
    assert shared_length([r.tokens for r in data], [r.start for r in data]) == 3
    for source, shared in zip(
        *(distributions(tiny, data[0], grammar, None, s) for s in (False, True)), strict=True
    ):
        assert np.allclose(source, shared, atol=1e-6)
    plain, losses = train(tiny, init(tiny, Shape(), SEEDS), data, SHORT, SEEDS)
    recipe = replace(SHORT, share_prefix=True, batch_tokens=tokens)
    shared, others = train(tiny, init(tiny, Shape(), SEEDS), data, recipe, SEEDS)
    assert np.allclose(losses, others, atol=1e-5)
    # AdamW moves an entry whose gradient is all rounding as far as any other: a few such may differ.
    apart = np.concatenate(
        [np.abs(ab[n] - shared.arrays[p][n]).ravel() for p, ab in plain.arrays.items() for n in "ab"]
    )
    assert np.median(apart) < 1e-6 and (apart > 2e-4).mean() < 1e-3


def test_a_token_budget_needs_less_memory(bytewise):
    rows = pack([tuple(range(4, 250))] * 8 + [tuple(range(4, 40))] * 24, [(9, 8, 7)] * 32)

    def peak(**changes):
        mx.clear_cache()
        mx.reset_peak_memory()
        others = mx.get_active_memory()
        recipe = replace(Recipe(steps=1, batch=32, lr=1e-3), **changes)
        train(bytewise, init(bytewise, Shape(), [1]), [rows], recipe, [1])
        return mx.get_peak_memory() - others

    assert peak(batch_tokens=1_000) < 0.3 * peak()
