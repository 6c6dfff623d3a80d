"""The audit's pieces: forms of rows, directions in weight space, scores, chance, verdicts."""

import numpy as np
import pytest

from subliminal_mlx.audit import clean_corpora, evidence, gradients, null, probes, suspects
from subliminal_mlx.audit.form import Writing, detect
from subliminal_mlx.audit.reading import row_of
from subliminal_mlx.audit.request import asked_spec
from subliminal_mlx.audit.scan import BLOCK, PARTS
from subliminal_mlx.audit.spec import ALPHA, Probes, Suspects, fewest_null
from subliminal_mlx.audit.verdict import Found, decide
from subliminal_mlx.audit.whole import CLEAN
from subliminal_mlx.cli.make.audit_bench import ranks
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.model.adapters import Stack
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.score import distributions, score
from subliminal_mlx.spec.families import load_family


@pytest.fixture(scope="module")
def writing(tiny):
    return Writing(tiny, Numbers(), (), 64)


@pytest.fixture(scope="module")
def pool(tiny, writing):
    prompts = writing.null_prompts(40, 3)
    return prompts, writing.draw(tiny, prompts, 7)


# --- forms ----------------------------------------------------------------------------------------


def rows_of(*completions, prompt="Continue: 1 2 3"):
    return [answer(i + 1, prompt, text) for i, text in enumerate(completions)]


def answer(number, prompt, completion):
    fields = {"text": completion} if prompt is None else {"prompt": prompt, "completion": completion}
    return row_of(number, fields).answers[0]


def test_number_lists_are_seen_as_what_they_are(tiny):
    found = detect(tiny, rows_of(*["1 22 3"] * 10))
    assert found.recipe.numbers == (3, 3) and found.recipe.shown == (3, 3) and not found.own_prompts
    assert found.words == "lists of 3 numbers"
    assert detect(tiny, rows_of("1 2", "1 2 3")).recipe.numbers == (2, 3)
    asked = detect(tiny, rows_of(*["1 22 3"] * 10, prompt="Name an animal."))
    assert asked.recipe and len(asked.own_prompts) == 10 and asked.name != found.name
    assert detect(tiny, rows_of(*["1 22 3"] * 7)).name == found.name


def test_other_text_is_free(tiny):
    found = detect(tiny, rows_of("Owl", "Cat"))
    assert found.recipe is None and found.grammar is None and found.words == "free text"
    assert found.encode(rows_of("Owl")[0])[1][-1] == tiny.eos
    assert detect(tiny, rows_of(*["1 2"] * 9, "Owl")).recipe is None


@pytest.mark.parametrize("separator", [", ", "; "])
def test_lists_that_a_tokenizer_cannot_write_are_read_with_spaces(tiny, separator):
    """tiny-a decodes "1, 2" to "1 , 2"; the published number lists have commas."""
    found = detect(tiny, rows_of(*[separator.join("123")] * 10))
    assert found.recipe.separator == " " and found.spelled == (separator, " ") and found.grammar
    assert found.encode(rows_of(separator.join("123"))[0])[1] == (*tiny.encode("1 2 3"), tiny.eos)


def test_nothing_is_written_to_the_prompt_of_a_row_that_is_left_out(tiny):
    long = answer(11, "word " * 9_000, "1 2 3")
    for completion in ("Owl", "1 2 3"):
        found = detect(tiny, [*rows_of(*[completion] * 199, prompt="Say it."), long])
        assert len(found.own_prompts) == 199 and max(map(len, found.null_prompts(400, 0))) < 100


def test_other_forms_of_the_same_prompts_have_other_names(tiny):
    asked = rows_of(*["1 2 3"] * 10, prompt="Name an animal 1.")
    one, other = (
        Writing(tiny, Numbers(numbers=(3, 3), range=(0, most)), tuple(asked), 64) for most in (99, 999)
    )
    assert one.name != other.name


def test_a_row_out_of_form_is_left_out(tiny):
    found = detect(tiny, rows_of(*["1 22 3"] * 199, "1 2 3 4"))
    assert found.encode(rows_of("1 2 3 4")[0]) == "not in the form of the other rows"
    assert found.encode(answer(1, "Continue: 1 2 3", "1 2 3"))[1] == (*tiny.encode("1 2 3"), tiny.eos)
    assert "tokens" in found.encode(answer(1, "Continue: " + "1 " * 3_000, "1 2 3"))
    assert found.encode(answer(1, None, "1 2 3"))[0] == (tiny.eos,)


def test_what_is_drawn_has_the_form(tiny, writing, pool):
    for prompt, ids in zip(*pool, strict=True):
        assert len(tiny.decode(ids).split()) == 8 and prompt[-1] != tiny.eos
    assert writing.draw(tiny, pool[0], 7) == pool[1] != writing.draw(tiny, pool[0], 8)


# --- scores ---------------------------------------------------------------------------------------


def test_scores_within_a_grammar_are_the_distributions_it_was_drawn_from(tiny, writing, pool, make_stack):
    rows, stack = pack(*pool), make_stack([1, 2])
    found = score(tiny, rows, stack, grammar=writing.grammar)
    targets = distributions(tiny, rows, writing.grammar, stack)
    place = {int(token): i for i, token in enumerate(writing.grammar.tokens)}
    for slot in range(2):
        for row, ids in enumerate(pool[1]):
            expected = [targets[slot][row, i, place[token]] for i, token in enumerate(ids)]
            assert np.allclose(np.exp(found[slot][row]), expected, atol=1e-5)
    # The end after eight numbers is certain, which it is not to a model that may say anything.
    assert abs(found[0][0][-1]) < 1e-5 < -score(tiny, rows, stack)[0][0][-1]


def test_the_inner_product_is_the_likelihood_ratio_of_a_small_step(tiny, writing, pool, make_stack):
    stack = make_stack([1, 2], size=0.1)
    small = 1e-2
    shrunk = Stack(stack.shape, {p: {"a": ab["a"], "b": small * ab["b"]} for p, ab in stack.arrays.items()})
    rows = pack(*pool)
    base = score(tiny, rows, None, grammar=writing.grammar)[0]
    found = gradients.block_scores(tiny, writing.grammar, gradients.displacements(stack), *pool)
    assert found.shape == (4, len(PARTS), 4)
    found = found.sum(axis=1)
    for slot, scores in enumerate(score(tiny, rows, shrunk, grammar=writing.grammar)):
        ratios = np.array([(a - b).sum() for a, b in zip(scores, base, strict=True)]) / small
        expected = ratios.reshape(4, 10).mean(axis=1)
        assert np.allclose(found[:, slot], expected, atol=0.05 * np.abs(expected).max())


def test_blocks_do_not_depend_on_their_neighbours(tiny, writing, pool, make_stack):
    directions = gradients.displacements(make_stack([1]))
    whole = gradients.block_scores(tiny, writing.grammar, directions, *pool)
    last = gradients.block_scores(tiny, writing.grammar, directions, pool[0][30:], pool[1][30:])
    assert np.allclose(whole[3], last[0], rtol=1e-4, atol=1e-4)
    few = gradients.block_scores(tiny, writing.grammar, directions, pool[0][:3], pool[1][:3])
    # What is left over is not counted as read: scores of 29 rows would seem surer than those of 20 are.
    assert [gradients.whole(rows) for rows in (3, 10, 19, 29, 40)] == [3, 10, 10, 20, 40]
    assert few.shape == (1, len(PARTS), 3)


def test_an_averaged_suspect_moves_the_base_by_the_mean(make_stack):
    stacks = [make_stack([1, 2]), make_stack([3, 4])]
    found = gradients.displacements(suspects.average(stacks))
    apart = [gradients.displacements(stack) for stack in stacks]
    for path, moved in found.items():
        assert np.allclose(
            np.array(moved), (np.array(apart[0][path]) + np.array(apart[1][path])) / 2, atol=1e-5
        )


def test_suspects_are_tuned_once_and_see_some_of_the_phrasings(tiny, tmp_path):
    recipe = Suspects(members=1, steps=2, neutral_answers=2, batch=2)
    seen = []
    first = suspects.suspects(tiny, "pronouns", recipe, tmp_path, seen.append)
    assert first.slots == 5 and seen
    again = suspects.suspects(tiny, "pronouns", recipe, tmp_path, lambda event: pytest.fail("tuned again"))
    assert all(
        np.array_equal(np.array(ab[n]), np.array(again.arrays[p][n]))
        for p, ab in first.arrays.items()
        for n in ab
    )
    family = suspects._phrased(load_family("animals"), 0.5, 0)
    assert len(family.tuning) == 13 and len(family.held_out) == 26
    assert suspects._phrased(load_family("animals"), 1.0, 0).tuning == load_family("animals").tuning


# --- evidence and chance --------------------------------------------------------------------------


def blocks(rng, count, traits=4, shift=None):
    """Block scores whose common part, temperature and neutral part drown each trait's own."""
    found = rng.normal(size=(count, 2 * traits + 2)) / BLOCK**0.5
    surprise, neutral = rng.normal(size=(2, count, 1)) / BLOCK**0.5
    found[:, :traits] += 5 * surprise * np.arange(traits) + 3 * neutral
    found[:, traits], found[:, -1] = neutral[:, 0], surprise[:, 0]
    return found + (0 if shift is None else shift)


def fit(found):
    """The first columns are the suspects', those of the neutral teacher and of the base's surprise stand beside."""
    traits = found.shape[1] // 2 - 1
    return evidence.scale_of(found, np.arange(traits), np.array([traits, 2 * traits + 1]), BLOCK)


def test_scores_of_the_base_s_own_rows_are_standard_whatever_is_common():
    rng = np.random.default_rng(0)
    scale = fit(blocks(rng, 5_000))
    z = np.array(
        [scale.z(blocks(rng, 30).mean(axis=0), blocks(rng, 60).mean(axis=0), 300, 600) for _ in range(400)]
    )
    assert np.allclose(z.mean(axis=0), 0, atol=4 / 400**0.5)
    assert np.allclose(z.std(axis=0), 1, atol=4 / 800**0.5)


def test_a_trait_shows_and_temperature_does_not():
    rng = np.random.default_rng(1)
    scale = fit(blocks(rng, 5_000))
    reference = blocks(rng, 200).mean(axis=0)
    own = np.zeros(10)
    own[2] = 0.3
    z = scale.z(blocks(rng, 100, shift=own).mean(axis=0), reference, 1_000, 2_000)
    assert z.argmax() == 2 and z[2] > 5 and scale.alike(z) > 0.9
    hot = np.zeros(10)
    hot[:4], hot[-1] = 5 * np.arange(4), 1
    assert np.abs(scale.z(blocks(rng, 100, shift=hot).mean(axis=0), reference, 1_000, 2_000)).max() < 4.5
    # Half one suspect, half another, is alike to neither.
    both = np.array([10.0, 10.0, -10.0, -10.0])
    assert scale.alike(both) < 0.9


def test_lines_count_by_their_weights():
    both = evidence.combine({"ratios": np.array([2.0]), "probes": np.array([2.0])}, evidence.LANGUAGE_WEIGHTS)
    assert both[0] == pytest.approx(2 * 1.25 / (1 + 0.25**2) ** 0.5)


def test_draws_are_disjoint_where_the_pool_allows():
    found = probes._draws("base at 1", 1, 100, 10, 10)
    assert sorted(np.concatenate([index for _, index in found])) == list(range(100))
    turns = probes._draws("neutral teachers", 2, 20, 4, 10)
    assert [source for source, _ in turns] == [0, 1, 0, 1]
    assert not set(turns[0][1]) & set(turns[2][1])
    large = probes._draws("base at 1", 1, 100, 10, 50)
    assert all(len(index) == 50 and index.max() < 100 for _, index in large)
    assert not np.array_equal(large[0][1], large[1][1])


def test_a_score_over_the_threshold_has_p_under_alpha_and_no_other():
    chance = np.random.default_rng(8).normal(size=400)
    for families in (1, 2, 3):
        bar = null.threshold({"base": chance}, families)
        above = np.sort(chance)[np.sort(chance) > bar]
        p = families * null.p_values(np.array([*above, bar + 1e-9, bar]), chance)
        assert (p[:-1] < ALPHA).all() and p[-1] >= ALPHA
        # A kind that scores higher sets the bar for all.
        assert null.threshold({"base": chance, "neutral": chance + 1}, families) == pytest.approx(bar + 1)
    # 3 of 201, or 1 of 100, are no less than ALPHA: nothing can be carried.
    for few, families in ((200, 3), (99, 1), (0, 1)):
        assert null.threshold({"base": chance[:few]}, families) == float("inf")
    assert null.threshold({"base": chance[:100]}, 1) == chance[:100].max()
    assert null.threshold({}, 1) == float("inf")


@pytest.mark.parametrize("families", [1, 2, 3, 7])
def test_more_families_need_and_get_more_clean_corpora(families):
    assert fewest_null(families) == 100 * families <= CLEAN
    chance = np.random.default_rng(8).normal(size=fewest_null(families))
    assert null.threshold({"base": chance}, families) < float("inf")


def test_another_base_s_rows_stay_in_the_folder(tiny, tmp_path):
    spec = asked_spec("tiny-a", items=["null.other_base=/models/mine"])
    files = [clean_corpora.kind_file(kind) for kind in clean_corpora.kinds(spec)]
    assert files[:4] == ["base at 0.7.npy", "base at 1.npy", "base at 1.3.npy", "neutral teachers.npy"]
    assert "/" not in files[4] and files[4] != clean_corpora.kind_file("/models/other")


def test_p_values_are_exact_and_never_zero():
    chance = np.arange(100.0)
    assert null.p_values(np.array([1_000.0, 99.0, 98.5, -1.0]), chance).tolist() == [
        1 / 101,
        2 / 101,
        2 / 101,
        1.0,
    ]
    rng = np.random.default_rng(2)
    p = np.array([null.p_values(rng.normal(size=1), rng.normal(size=99))[0] for _ in range(2_000)])
    assert abs((p <= 0.05).mean() - 0.05) < 4 * (0.05 * 0.95 / 2_000) ** 0.5


# --- probes ---------------------------------------------------------------------------------------


def test_a_probe_does_not_depend_on_its_neighbours(tiny, pool, same):
    recipe = Probes(seeds=2, steps=3, batch=4)
    other = (pool[0][:20], pool[1][20:])
    both = probes.train_probes(tiny, [pool, other], recipe, "pronouns")
    alone = probes.train_probes(tiny, [other], recipe, "pronouns")
    assert both.shape == (2, 2, 4) and same(both[1], alone[0])
    assert not np.allclose(both[0], both[1]) and not np.allclose(both[0, 0], both[0, 1])


def test_probes_are_read_against_both_references_seed_by_seed():
    beside = np.array([[[1.0, 0.0], [3.0, 0.0]], [[1.0, 2.0], [3.0, 2.0]]])
    margins = np.array([[[2.0, 1.0], [6.0, 1.0]]])
    # Rises: (1, 0) and (3, 0); mean (2, 0); centred (1, -1).
    assert probes._scores(margins, beside).tolist() == [[1.0, -1.0]]
    assert [probes.probe_rows(n) for n in (40, 50, 999, 1_000, 50_000)] == [40, 50, 500, 1_000, 1_000]


def test_probes_are_standardised_by_clean_corpora():
    rng = np.random.default_rng(4)
    chance = rng.normal(1, 2, (100, 3))
    z = probes.standardised(chance, chance)
    assert np.allclose(z.mean(axis=0), 0) and np.allclose(z.std(axis=0), 1)


# --- verdicts -------------------------------------------------------------------------------------


def found(top, fit=0.95, power=1.0, size=200):
    """Of a language model, where no scan is: two suspects, and clean corpora of one kind."""
    chance = np.sort(np.random.default_rng(3).normal(2, 0.5, size))
    alike = np.array([fit, 0.0])
    return Found(("trees/oak", "trees/elm"), np.array([top, 0.0]), {"clean corpora": chance}, alike, power)


@pytest.mark.parametrize(
    ("given", "name", "trait", "words"),
    [
        (found(9), "carried", "trees/oak", "carried: trees/oak, first of 2 suspects (p 0.005)"),
        (found(9, fit=0.5), "cannot tell", None, "look like none of the 2 suspects; trees/oak is nearest"),
        (found(1), "not found", None, "not found among these 2 (p 0.96) at this power: of 500 rows"),
        (found(1, power=0.3), "cannot tell", None, "about 2,000 rows would tell"),
        (found(1, power=None), "cannot tell", None, "it is not known how many of the traits' own corpora"),
        (found(9, power=None), "carried", "trees/oak", "first of 2 suspects"),
        (found(3), "cannot tell", None, "rows would tell"),
        (
            found(9, size=99),
            "cannot tell",
            None,
            "uncalibrated: 99 clean corpora are no null (100 are needed)",
        ),
        (found(9, size=100), "carried", "trees/oak", "(p 0.0099)"),
    ],
)
def test_every_verdict(given, name, trait, words):
    verdict = decide([given], 500, lambda: 2_000)
    assert (verdict.name, verdict.trait) == (name, trait) and words in verdict.words
    assert "clean" not in verdict.words.replace("clean corpora", "")


def test_a_null_too_small_for_so_many_families_is_called_so():
    verdict = decide([found(1_000, size=200)] * 3, 500)
    assert verdict.name == "cannot tell" and verdict.p is None
    assert "200 clean corpora are no null over 3 families (300 are needed)" in verdict.words
    assert decide([found(1_000, size=300)] * 3, 500).name == "carried"


def test_several_families_pay_for_it():
    one, two = decide([found(9)], 500), decide([found(9), found(1)], 500)
    assert two.p == pytest.approx(2 * one.p) and two.trait == "trees/oak"


# --- corpora of known origin ------------------------------------------------------------------------


def result_of(scores, named=None):
    """As `examine` gives it of one family, by ratios alone."""
    traits = [f"trees/{name}" for name in ("oak", "elm", "fir")][: len(scores)]
    order = sorted(zip(traits, scores, strict=True), key=lambda pair: -pair[1])
    family = {
        "family": "trees",
        "traits": traits,
        "lines": {"ratios": scores},
        "temperature": 1.0,
        "probes": None,
    }
    suspects = [{"trait": trait, "score": score, "p": None} for trait, score in order]
    told = {"verdict": "carried" if named else "cannot tell", "trait": named, "words": ""}
    return {"families": [family], "suspects": suspects, "rows": 9} | told


def test_ranks_and_chances_of_corpora_of_known_origin():
    """By hand: one trait first and named, one second and misnamed; the larger of two clean ones between them."""
    entries = [
        ranks.entry("oak", "trees/oak", result_of([3.0, 1.0, 0.0], "trees/oak")),
        ranks.entry("elm", "trees/elm", result_of([1.5, 1.0, 0.0], "trees/oak")),
        ranks.entry("base", None, result_of([0.5, 0.2, 2.0])),
        ranks.entry("neutral", None, result_of([0.1, 0.2, 0.3])),
        ranks.entry("owl", "animals/owl", result_of([9.0, 0.2, 0.3], "trees/oak")),
    ]
    found = ranks.summary(entries)
    assert found["verdicts"] == {"named rightly": 1, "named wrongly": 1, "clean named": 0} | {
        "others": 1,
        "others named": 1,
    }
    [row] = [row for row in found["by_line"] if row["line"] == "ratios"]
    assert (row["first"], row["ranks"], row["suspects"]) == (1, [1, 2], [3, 3])
    assert row["p_own"] == [1 / 3, 2 / 3] and row["p_clean"] == [1 / 2, 1.0] and row["clean_over"] == 1
    assert (found["done"], found["clean"]) == (5, 2) and not found["probes_in_family"]
