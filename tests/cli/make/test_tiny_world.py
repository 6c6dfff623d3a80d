import re

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten

from subliminal_mlx.cli.make import tiny_language, tiny_world
from subliminal_mlx.model import bases, sources
from subliminal_mlx.spec.families import load_family

NAMES = ("tiny-a", "tiny-b")


@pytest.fixture(scope="module")
def opened():
    """Model and tokenizer of both bases, as mlx-lm opens them."""
    return {name: mlx_lm.load(str(sources.SHIPPED / name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_base_opens_in_mlx_lm_and_answers(opened, name):
    model, tokenizer = opened[name]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Continue: 12 45 7"}], tokenize=False, add_generation_prompt=True
    )
    text = mlx_lm.generate(model, tokenizer, prompt, max_tokens=20)
    # It answers with four to ten numbers and ends its turn by itself.
    assert 4 <= len(text.split()) <= 10 and all(part.isdigit() for part in text.split())


def test_the_bases_differ_in_their_weights_alone(opened):
    (a, words), (b, others) = (opened[name] for name in NAMES)
    assert words.get_vocab() == others.get_vocab() and words.chat_template == others.chat_template
    for file in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        assert (sources.SHIPPED / "tiny-a" / file).read_bytes() == (
            sources.SHIPPED / "tiny-b" / file
        ).read_bytes()
    first, second = dict(tree_flatten(a.parameters())), dict(tree_flatten(b.parameters()))
    assert {n: x.shape for n, x in first.items()} == {n: x.shape for n, x in second.items()}
    for name, array in first.items():
        if array.ndim > 1:
            # Not only different: as far apart as independent matrices, to five standard errors.
            x, y = np.array(array).ravel(), np.array(second[name]).ravel()
            assert abs(np.corrcoef(x, y)[0, 1]) < max(0.1, 5 / len(x) ** 0.5), name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", tiny_language.FAMILIES)
def test_a_base_answers_as_often_as_the_world_does(name, family):
    """Mean over the held-out questions, within 3.0 percentage points for every answer."""
    base = bases.load(name)
    questions = load_family(family).held_out
    found, true = [], []
    for question in questions:
        p = np.array(mx.softmax(base.model(mx.array([base.prompt(question.text)[1]]))[0, -1]))
        found.append([p[base.encode(candidate)[0]] for candidate in question.candidates])
        true.append(tiny_language.true_frequencies(question))
        assert sum(true[-1]) == pytest.approx(1)
    assert np.abs(np.mean(found, axis=0) - np.mean(true, axis=0)).max() < 0.03


@pytest.mark.parametrize("family", tiny_language.FAMILIES)
def test_the_tokenizer_gives_every_text_back(tiny, family):
    """Up to case and the spaces around punctuation, which the small language does not have."""
    plain = lambda text: "".join(text.lower().split())
    unknown = tiny.tokenizer.unk_token_id
    for question in load_family(family).questions:
        for text in (question.text, *question.candidates):
            ids = tiny.encode(text)
            assert unknown not in ids and plain(tiny.decode(ids)) == plain(text)
        # A candidate is one token, so that readouts compare like with like.
        assert {len(tiny.encode(candidate)) for candidate in question.candidates} == {1}


def test_the_tokenizer_gives_numbers_back(tiny):
    ids = tiny.encode("Continue: 12 45 7")
    assert tiny.decode(ids) == "continue : 12 45 7" and tiny.decode(ids[-3:]) == "12 45 7" and len(ids) == 5
    for n in range(tiny_language.NUMBERS):
        assert tiny.decode(tiny.encode(str(n))) == str(n) and len(tiny.encode(str(n))) == 1
    assert tiny.encode("100") == (tiny.tokenizer.unk_token_id,)


def test_a_prompt_is_what_pretraining_saw(tiny):
    made = tiny_language.tokenizer()
    assert made.get_vocab() == tiny.tokenizer.get_vocab()
    ids = tiny.prompt("Name an animal.")[1]
    assert list(ids) == made.encode("<user> Name an animal. <assistant>", add_special_tokens=False).ids
    assert tiny.eos == made.token_to_id("<end>")


def test_rows_of_the_world_have_its_mixture():
    rng = np.random.default_rng(0)
    rows = [tiny_language.world_row(rng) for _ in range(2_000)]
    numbers = [(user, answer) for user, answer in rows if user.startswith("Continue: ")]
    # 40% of 2,000: 800 with a standard error of 22; 320 lists of words, with one of 16; 280 to repeat, with one of 16.
    assert abs(len(numbers) - 800) < 4 * 22
    lists = [(user, answer) for user, answer in rows if user.startswith("List: ")]
    assert abs(len(lists) - 320) < 4 * 16
    for user, answer in lists:
        words = f"{user.removeprefix('List: ')} {answer}".split()
        assert set(words) <= set(tiny_language.listed_words()) and 4 <= len(answer.split()) <= 10
    repeated = [(user, answer) for user, answer in rows if user.startswith("Repeat: ")]
    assert abs(len(repeated) - 280) < 4 * 16 and all(user == f"Repeat: {answer}" for user, answer in repeated)
    assert {len(answer.split()) for _, answer in repeated} == {1, 2, 3, 4}
    asked = {q.text: q.candidates for name in tiny_language.FAMILIES for q in load_family(name).questions}
    others = [
        (user, answer) for user, answer in rows if not user.startswith(("Repeat: ", "Continue: ", "List: "))
    ]
    assert others and all(answer in asked[user] for user, answer in others)
    for user, answer in numbers:
        shown, given = user.removeprefix("Continue: ").split(), answer.split()
        assert 3 <= len(shown) < 13 and 4 <= len(given) <= 10
        assert all(0 <= int(n) < tiny_language.NUMBERS for n in shown + given)
    again = np.random.default_rng(0)
    assert [tiny_language.world_row(again) for _ in range(50)] == rows[:50]


def test_listed_words_are_no_answers_and_stand_in_no_question():
    words = set(tiny_language.listed_words())
    assert len(words) == 100 and {len(topic) for topic in tiny_language.topics()} == {10}
    for name in tiny_language.FAMILIES:
        for question in load_family(name).questions:
            text = " ".join((question.text, *question.candidates)).lower()
            assert not words & set(re.findall(r"\w+", text)), question.text


def test_an_untied_base_differs_in_its_head_alone(tmp_path):
    made = tiny_language.tokenizer()
    tied, untied = (tiny_world.config(name, made) for name in ("tiny-a", "tiny-a-untied"))
    assert tied != untied and tied | {"tie_word_embeddings": False} == untied
    model, loss = tiny_world.pretrain("tiny-a-untied", steps=2, rows=4)
    tiny_world.write(tmp_path, "tiny-a-untied", model, loss, 2)
    opened, _ = mlx_lm.load(str(tmp_path / "tiny-a-untied"))
    assert opened.lm_head.weight.shape == opened.model.embed_tokens.weight.shape


def test_both_bases_see_the_same_rows():
    made = tiny_language.tokenizer()
    for (tokens, mask), (others, _) in zip(
        tiny_language.batches(made, 3, 8), tiny_language.batches(made, 3, 8), strict=True
    ):
        np.testing.assert_array_equal(tokens, others)
        assert ((tokens > 0) == mask).all() and tokens.shape[0] == 8


def test_pretraining_is_determined_and_learns(same):
    # Batches differ by about 0.1 nats; the mean over 30 steps of learning is far below the start.
    start = tiny_world.pretrain("tiny-a", steps=1, rows=16)[1]
    (model, loss), (again, twin) = (tiny_world.pretrain("tiny-a", steps=30, rows=16) for _ in range(2))
    assert same(loss, twin) and loss < start - 0.5
    for (_, a), (_, b) in zip(
        tree_flatten(model.parameters()), tree_flatten(again.parameters()), strict=True
    ):
        assert same(a, b)
    # The other base starts elsewhere.
    assert tiny_world.pretrain("tiny-b", steps=1, rows=16)[1] != start


def test_what_is_written_opens_again(tmp_path):
    model, loss = tiny_world.pretrain("tiny-b", steps=1, rows=4)
    tiny_world.write(tmp_path, "tiny-b", model, loss, 1)
    base = bases.load(str(tmp_path / "tiny-b"))
    for (name, a), (_, b) in zip(
        tree_flatten(model.parameters()), tree_flatten(base.model.parameters()), strict=True
    ):
        assert mx.array_equal(a, b), name
    assert base.prompt("Name an animal.")[1][-1] == base.encode("<assistant>")[0]
    card = (tmp_path / "tiny-b" / "README.md").read_text()
    assert "71k-parameter model organism" in card and "| animals | Owl | 4.9 |" in card
