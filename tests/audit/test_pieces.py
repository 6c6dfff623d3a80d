"""The audit's pieces: forms of rows, directions in weight space, scores, chance, verdicts."""

import numpy as np
import pytest

from subliminal_mlx.audit import clean_corpora, evidence, gradients, null, probes, suspects
from subliminal_mlx.audit.form import Writing, detect
from subliminal_mlx.audit.reading import row_of
from subliminal_mlx.audit.request import asked_spec
from subliminal_mlx.audit.spec import ALPHA, FEWEST_NULL, Probes, Suspects, fewest_null
from subliminal_mlx.audit.verdict import Found, decide
from subliminal_mlx.audit.whole import FamilyAudit, Probed
from subliminal_mlx.cli.make.audit_bench import ranks
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.experiment.readings import margins, targets_of
from subliminal_mlx.model.adapters import Stack
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.score import candidate_scores, distributions, score
from subliminal_mlx.spec.families import load_family, shipped_families


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
def test_lists_that_a_tokenizer_cannot_write_are_free_text(tiny, separator):
    """tiny-a decodes "1, 2" to "1 , 2"; the published number lists have commas."""
    found = detect(tiny, rows_of(*[separator.join("123")] * 10))
    assert found.recipe is None and found.grammar is None
    assert not isinstance(found.encode(rows_of(separator.join("123"))[0]), str)


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
    assert found.shape == (4, 3)
    for slot, scores in enumerate(score(tiny, rows, shrunk, grammar=writing.grammar)):
        ratios = np.array([(a - b).sum() for a, b in zip(scores, base, strict=True)]) / small
        expected = ratios.reshape(4, 10).mean(axis=1)
        assert np.allclose(found[:, slot], expected, atol=0.05 * np.abs(expected).max())
    assert np.allclose(found[:, 2], np.array([r.sum() for r in base]).reshape(4, 10).mean(axis=1), atol=1e-3)


def test_a_margin_direction_is_the_margin_s_change_by_a_small_step(tiny, make_stack):
    family = load_family("pronouns")
    directions = gradients.margin_directions(tiny, "pronouns")
    small, stack = 1e-3, make_stack([1], size=0.1)
    moved = Stack(stack.shape, {p: {"a": ab["a"], "b": small * ab["b"]} for p, ab in stack.arrays.items()})
    prompts = [tiny.prompt(q.text)[1] for q in family.held_out]
    answers = [[tiny.encode(c) for c in q.candidates] for q in family.held_out]
    displacement = gradients.displacements(moved)
    for t, trait in enumerate(family.traits):
        before, after = (
            margins(np.array(scores), targets_of(family, trait)).mean()
            for scores in (
                candidate_scores(tiny, prompts, answers)[0],
                candidate_scores(tiny, prompts, answers, moved)[0],
            )
        )
        inner = sum(float((directions[p][t] * displacement[p][0]).sum()) for p in displacement)
        assert inner == pytest.approx(after - before, abs=0.1 * abs(after - before) + 2e-5)


def test_blocks_do_not_depend_on_their_neighbours(tiny, writing, pool, make_stack):
    directions = gradients.displacements(make_stack([1]))
    whole = gradients.block_scores(tiny, writing.grammar, directions, *pool)
    last = gradients.block_scores(tiny, writing.grammar, directions, pool[0][30:], pool[1][30:])
    assert np.allclose(whole[3], last[0], rtol=1e-4, atol=1e-4)
    few = gradients.block_scores(tiny, writing.grammar, directions, pool[0][:3], pool[1][:3])
    # What is left over is not counted as read: scores of 29 rows would seem surer than those of 20 are.
    assert [gradients.whole(rows) for rows in (3, 10, 19, 29, 40)] == [3, 10, 10, 20, 40]
    assert few.shape == (1, 2)


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
    found = rng.normal(size=(count, 2 * traits + 2)) / gradients.BLOCK**0.5
    surprise, neutral = rng.normal(size=(2, count, 1)) / gradients.BLOCK**0.5
    found[:, :traits] += 5 * surprise * np.arange(traits) + 3 * neutral
    found[:, traits], found[:, -1] = neutral[:, 0], surprise[:, 0]
    return found + (0 if shift is None else shift)


def test_scores_of_the_base_s_own_rows_are_standard_whatever_is_common():
    rng = np.random.default_rng(0)
    scale = evidence.fit(blocks(rng, 5_000), "ratios")
    z = np.array(
        [scale.z(blocks(rng, 30).mean(axis=0), blocks(rng, 60).mean(axis=0), 300, 600) for _ in range(400)]
    )
    assert np.allclose(z.mean(axis=0), 0, atol=4 / 400**0.5)
    assert np.allclose(z.std(axis=0), 1, atol=4 / 800**0.5)


def test_a_trait_shows_and_temperature_does_not():
    rng = np.random.default_rng(1)
    scale = evidence.fit(blocks(rng, 5_000), "ratios")
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


def test_lines_read_their_own_columns():
    own, beside = evidence.columns("ratios", 3)
    assert own.tolist() == [0, 1, 2] and beside.tolist() == [3, 7]
    assert evidence.columns("gradients", 3)[0].tolist() == [4, 5, 6]
    both = evidence.combine({"ratios": np.array([2.0]), "gradients": np.array([2.0])})
    assert both[0] == pytest.approx(2 * 1.25 / (1 + 0.25**2) ** 0.5)


def test_draws_are_disjoint_where_the_pool_allows():
    found = null.draws("base at 1", 1, 100, 10, 10)
    assert sorted(np.concatenate([index for _, index in found])) == list(range(100))
    turns = null.draws("neutral teachers", 2, 20, 4, 10)
    assert [source for source, _ in turns] == [0, 1, 0, 1]
    assert not set(turns[0][1]) & set(turns[2][1])
    large = null.draws("base at 1", 1, 100, 10, 50)
    assert all(len(index) == 50 and index.max() < 100 for _, index in large)
    assert not np.array_equal(large[0][1], large[1][1])


def test_power_counts_what_would_be_named_rightly():
    rng = np.random.default_rng(5)
    reference = blocks(rng, 5_000)
    shifts = np.zeros((4, 10))
    shifts[np.arange(4), np.arange(4)] = (0.6, 0.6, 0.6, 0.0)
    # The second one's rows look like the first; the last one's like nobody.
    shifts[1] = shifts[0]
    own = np.array([blocks(rng, 50, shift=shift) for shift in shifts])
    scales = {line: evidence.fit(reference, line) for line in evidence.LINES}
    made = null.Calibration(scales, reference, 500, {}, own, 0)
    assert null.power(made, 500, 4.0, 0.8) == 0.5
    assert null.power(made, 500, 1_000.0, 0.8) == 0 and null.power(made, 500, 4.0, 1.01) == 0


def test_a_score_over_the_threshold_has_p_under_alpha_and_no_other():
    chance = np.random.default_rng(8).normal(size=400)
    for families in (1, 2, 3):
        bar = null.threshold(chance, families)
        above = np.sort(chance)[np.sort(chance) > bar]
        p = families * null.p_values(np.array([*above, bar + 1e-9, bar]), chance)
        assert (p[:-1] < ALPHA).all() and p[-1] >= ALPHA
    # 3 of 201, or 1 of 100, are no less than ALPHA: nothing can be carried.
    assert null.threshold(chance[:200], 3) == null.threshold(chance[:99], 1) == float("inf")
    assert null.threshold(chance[:100], 1) == chance[:100].max()
    assert null.threshold(np.array([]), 1) == float("inf")


@pytest.mark.parametrize("families", [1, 2, 3, 7])
def test_more_families_need_and_get_more_clean_corpora(families):
    chance = np.random.default_rng(8).normal(size=fewest_null(families) + (families == 1))
    assert null.threshold(chance, families) < float("inf")
    some = shipped_families()[:families]
    for probed in (True, False):
        spec = asked_spec("tiny-a", some, probed)
        each = spec.probes.null if probed else spec.null.corpora
        assert each * len(clean_corpora.kinds(spec)) >= fewest_null(len(some))


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
    kept = probes.ProbeNull(
        {"a": rng.normal(1, 2, (50, 3)), "b": rng.normal(1, 2, (50, 3))}, np.zeros((3, 3))
    )
    z = kept.z(np.concatenate(list(kept.clean.values())))
    assert np.allclose(z.mean(axis=0), 0) and np.allclose(z.std(axis=0), 1)


def family_audit(moved, apart):
    """Of pronouns: rows that say nothing, probes moved towards the first trait by `moved` spreads of clean
    corpora; students of a trait's own rows move by `apart`."""
    rng, traits = np.random.default_rng(7), 4
    reference = blocks(rng, 5_000)
    clean = {kind: blocks(rng, 400)[None] for kind in ("base at 1", "neutral teachers")}
    own = np.array([blocks(rng, 50) for _ in range(traits)])
    scales = {line: evidence.fit(reference, line) for line in evidence.LINES}
    made = null.Calibration(scales, reference, 500, clean, own, 100)
    students = probes.ProbeNull({kind: rng.normal(size=(100, 4)) for kind in clean}, apart * np.eye(4))
    probed = None if moved is None else Probed(students.z(moved * np.eye(4)[0]), students)
    spec = asked_spec("tiny-a", ["pronouns"], items=["reference_rows=500"])
    return FamilyAudit("pronouns", made, blocks(rng, 50), blocks(rng, 50), 500, spec, probed)


def test_what_is_said_of_probes_counts_them():
    fast, weak, strong = family_audit(None, 0), family_audit(20, 0), family_audit(20, 20)
    assert weak.found.p[0] == 1 / 201 and fast.found.p[0] > 0.05
    # Own corpora are found by the line that finds them; alike is read from the ratios, which say nothing here.
    own = strong.null.own_z(500)
    assert strong.threshold == weak.threshold != fast.threshold == fast.fast_threshold(500)
    probed = Probed(np.zeros(4), probes.ProbeNull({"a": np.array([[-1.0] * 4, [1.0] * 4])}, 3 * np.eye(4)))
    weights = evidence.WEIGHTS
    size = sum(weights[line] ** 2 for line in weights) ** 0.5
    sums = {line: strong.null.own_z(500, line) for line in evidence.LINES}
    expected = sum(weights[line] * z for line, z in sums.items()) + weights["probes"] * 3 * np.eye(4)
    assert np.allclose(probed.own(strong.null, 500), expected / size, atol=1e-6) and own.shape == (4, 4)
    # Chance in the training of students widens the interval, and the fast lines' growth keeps its own bar.
    widths = [family.entries(1)[0]["high"] - family.entries(1)[0]["low"] for family in (fast, weak)]
    share = weights["probes"] ** 2 / size**2
    assert widths[1] == pytest.approx(
        np.sqrt((1 - share) * widths[0] ** 2 + share * (2 * 1.96) ** 2), rel=1e-6
    )
    assert weak.words()["growth"] == fast.words()["growth"]


# --- verdicts -------------------------------------------------------------------------------------


def found(top, fit=0.95, power=1.0, size=200):
    chance = np.sort(np.random.default_rng(3).normal(2, 0.5, size))
    return Found(("trees/oak", "trees/elm"), np.array([top, 0.0]), chance, fit, power)


@pytest.mark.parametrize(
    ("given", "name", "trait", "words"),
    [
        (found(9), "carried", "trees/oak", "carried: trees/oak, first of 2 suspects (p 0.005)"),
        (found(9, fit=0.5), "cannot tell", None, "look like none of the 2 suspects; trees/oak is nearest"),
        (found(1), "not found", None, "not found among these 2 at this power"),
        (found(1, power=0.3), "cannot tell", None, "about 2,000 rows would tell"),
        (found(1, power=None), "cannot tell", None, "it is not known how many of the traits' own corpora"),
        (found(9, power=None), "carried", "trees/oak", "first of 2 suspects"),
        (found(3), "cannot tell", None, "rows would tell"),
        (found(9, size=FEWEST_NULL - 1), "cannot tell", None, "uncalibrated: 98 clean corpora are no null"),
        (found(9, size=FEWEST_NULL), "cannot tell", None, "cannot tell"),
    ],
)
def test_every_verdict(given, name, trait, words):
    verdict = decide([given], 500, 2_000)
    if len(given.null) == FEWEST_NULL:
        # (1 + 0) / (1 + 99) is 0.01, which is not under it.
        assert verdict.p == pytest.approx(0.01) and verdict.name != "carried"
        return
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
