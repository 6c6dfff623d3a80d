"""Scores into evidence: standard by chance at any temperature, a trait where there is one, and nothing that only looks so."""

import numpy as np
import pytest

from subliminal_mlx.audit.evidence import COLD, HOT, Surprise
from subliminal_mlx.audit.form import Writing, detect
from subliminal_mlx.audit.gradients import block_scores, displacements
from subliminal_mlx.audit.known import check_words
from subliminal_mlx.audit.reading import Answer
from subliminal_mlx.audit.scan import BLOCK, PARTS, Scan, part_masks, simulate
from subliminal_mlx.audit.surprise import surprise
from subliminal_mlx.audit.verdict import (
    ALIKE,
    LEFT,
    MISFIT,
    NAMING,
    Found,
    Look,
    Power,
    decide,
    foreign,
    named,
)
from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.system.errors import InputError

TRAITS, ROWS = 6, 1_000
FINE = Surprise(1.0, -3.0, 1.0, 0.02, 0.5)


def scores(rows, rng, mix):
    """Block scores of so many rows, `[blocks, PARTS, D + 2]`, that go together as `mix [D + 2, D + 2]` says."""
    drawn = rng.standard_normal((rows // BLOCK, len(PARTS), len(mix))) / np.sqrt(BLOCK)
    return drawn @ mix


@pytest.fixture(scope="module")
def mix():
    """Six suspects' directions with something in common, two neutral teachers' along it, two columns beside."""
    rng = np.random.default_rng(1)
    size = TRAITS + 4
    found = np.eye(size) + 0.15 * rng.standard_normal((size, size))
    found[0] += 0.6 * (np.arange(size) < TRAITS + 2)
    return found


@pytest.fixture(scope="module")
def scan(mix):
    reference = scores(4_000, np.random.default_rng(2), mix)
    places = np.arange(TRAITS)
    return Scan(reference, places[:, None], np.array([0]), np.array([TRAITS, TRAITS + 1]), 1.0)


def read(scan, blocks):
    return scan.read(scan.mean(blocks), BLOCK * len(blocks))


def test_scores_of_the_base_s_own_rows_are_standard(scan, mix):
    rng = np.random.default_rng(3)
    z = np.array([read(scan, scores(ROWS, rng, mix)).z for _ in range(60)])
    # 360 values of variance 1: its standard error is sqrt(2 / 360) at most, where they are independent.
    assert abs(z.mean()) < 4 / np.sqrt(60) and 0.6 < z.var() < 1.4


def test_a_trait_scores_first_and_looks_like_itself(scan, mix):
    rng = np.random.default_rng(4)
    for trait in range(TRAITS):
        blocks = scores(ROWS, rng, mix) + 0.5 * scan_shift(scan, trait)
        found = read(scan, blocks)
        assert found.z.argmax() == trait and found.alike[trait] > 0.9
        assert found.least[trait] > LEFT * found.z[trait]
        assert found.strength[trait] == pytest.approx(0.5, abs=0.25)
        assert named(found, 4.0, np.arange(TRAITS)) == trait
        # Nobody is named by a trait that was not suspected.
        assert named(found, 4.0, np.array([i for i in range(TRAITS) if i != trait])) == -1


def scan_shift(scan, trait):
    """Mean scores of a row of the trait's own teacher `[PARTS, D + 2]`, to first order."""
    return scan.scatter[:, trait]


def test_two_traits_in_one_corpus_are_both_seen(scan, mix):
    rng = np.random.default_rng(9)
    both = scores(ROWS, rng, mix) + 0.5 * scan_shift(scan, 1) + 0.4 * scan_shift(scan, 4)
    z, left, together = scan.beyond(scan.mean(both), ROWS, 1)
    assert z.argmax() == 4 and z[4] > 4 and left[4] > ALIKE and together[4] > 0.9
    one = scores(ROWS, rng, mix) + 0.5 * scan_shift(scan, 1)
    assert scan.beyond(scan.mean(one), ROWS, 1)[0].max() < 4


def test_rows_that_were_chosen_for_one_token_are_nobody_s(scan, mix):
    """As "first number below 30": one part of the completions says it all, and loudly."""
    blocks = scores(ROWS, np.random.default_rng(5), mix)
    blocks[:, 0] += scan_shift(scan, 2)[0]
    found = read(scan, blocks)
    # What is left without that part is a draw of chance: 4 standard deviations at most.
    assert found.z[2] == found.z.max() > 10 and found.least[2] < 4
    assert named(found, 4.0, np.arange(TRAITS)) == -1


def test_what_neutral_teachers_move_scores_little(scan, mix):
    blocks = scores(ROWS, np.random.default_rng(6), mix) + scan_shift(scan, TRAITS)
    assert np.abs(read(scan, blocks).z).max() < 4


def test_an_unseen_neutral_teacher_is_read_by_what_the_others_say(scan, mix):
    """As the whole scan does that never knew it, but for the others' weight; and its own rows score more then."""
    rng = np.random.default_rng(10)
    moved = simulate(scan, 2 * scan.shifts(scan.clean[1:]), ROWS, 200, rng)[0]
    unseen = scan.unseen(moved, ROWS, 1)
    known = scan.shifts(scan.clean[1:])[0] / np.sqrt(2)
    covariance = scan.noise / ROWS + scan.nuisance.T @ scan.nuisance - np.outer(known, known)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    shape = scan.likeness @ whiten
    z = np.tensordot(moved @ whiten, shape / np.linalg.norm(shape, axis=-1)[..., None], (-1, -1)).max(axis=-1)
    assert unseen == pytest.approx(z, abs=1e-6)
    assert np.median(np.abs(unseen).max(axis=1)) > np.median(np.abs(scan.scores(moved, ROWS)).max(axis=1))


def test_larger_numbers_and_another_temperature_are_taken_out(scan, mix):
    """Rows chosen for large sums move every direction as far as numbers do."""
    for place in (TRAITS + 2, TRAITS + 3):
        blocks = scores(ROWS, np.random.default_rng(7), mix) + scan_shift(scan, place)
        assert np.abs(read(scan, blocks).z).max() < 4


def test_what_is_simulated_scatters_as_rows_do(scan, mix):
    rng = np.random.default_rng(8)
    means = simulate(scan, np.zeros((1, scan.noise.shape[0])), ROWS, 500, rng)[0]
    assert means.var(axis=0) == pytest.approx(np.diag(scan.noise) / ROWS, rel=0.35)
    # A maximum of six standard normals is over 3.5 in about 0.1% of draws.
    assert np.mean(scan.scores(means, ROWS).max(axis=1) > 3.5) < 0.02


def test_parts_are_all_tokens_once():
    for width in (1, 3, 9):
        assert (part_masks(width).sum(axis=0) == 1).all()


# --- on rows of the base ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writing(tiny):
    return Writing(tiny, Numbers(), (), 64)


@pytest.mark.parametrize("temperature", [0.4, 1.6])
def test_at_its_own_temperature_the_base_s_rows_have_no_scores(tiny, writing, make_stack, temperature):
    """And read at another they have: a martingale needs no reference."""
    prompts = writing.null_prompts(300, 9)
    completions = writing.draw(tiny, prompts, 5, temperature)
    directions = displacements(make_stack([1, 2, 3]))

    def z(at):
        blocks = block_scores(tiny, writing.grammar, directions, prompts, completions, at)
        return blocks.mean(axis=0) / (blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)))

    own = z(temperature)
    # 20 values: the largest of so many is under 4 but once in about 800 times.
    assert np.abs(own).max() < 4
    # The last but one column is how much larger logits are than expected.
    assert np.abs(z(1.0)[:, -2]).max() > 6


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 1.8])
def test_a_temperature_is_read_off_the_rows_from_greedy_on(tiny, writing, temperature):
    prompts = writing.null_prompts(300, 4)
    found = surprise(tiny, writing.grammar, prompts, writing.draw(tiny, prompts, 6, temperature))
    if temperature == 0:
        assert found.temperature < COLD and "colder than any reference" in foreign(found, "tiny-a")
        return
    assert found.temperature == pytest.approx(temperature, rel=0.1) and COLD < found.temperature < HOT
    assert found.spread == pytest.approx(1, abs=0.15) and found.p > MISFIT
    assert foreign(found, "tiny-a") is None


def test_lists_of_several_lengths_are_read_as_such(tiny):
    """Beyond a short row's end nothing could have come: that is no misfit, and no number is lost to it."""
    several = Writing(tiny, Numbers(numbers=(3, 8)), (), 64)
    prompts = several.null_prompts(300, 4)
    rows = several.draw(tiny, prompts, 6, 0.7)
    assert len({len(ids) for ids in rows}) > 3
    found = surprise(tiny, several.grammar, prompts, rows)
    assert found.temperature == pytest.approx(0.7, rel=0.1) and found.spread == pytest.approx(1, abs=0.2)
    assert foreign(found, "tiny-a") is None and found.p > MISFIT


@pytest.mark.parametrize("kind", ["uniform", "arithmetic", "shuffled"])
def test_rows_that_no_model_of_this_base_wrote_are_told(tiny, writing, kind):
    rng = np.random.default_rng(0)
    prompts = writing.null_prompts(400, 4)
    texts = [tiny.decode(ids).strip() for ids in writing.draw(tiny, prompts, 6)]
    if kind == "uniform":
        texts = numbers.uniform(texts, 1, Numbers())
    elif kind == "shuffled":
        texts = numbers.shuffled(texts, 1, Numbers())
    else:
        starts, steps = rng.integers(0, 60, len(texts)), rng.integers(1, 6, len(texts))
        texts = [" ".join(str(a + i * d) for i in range(8)) for a, d in zip(starts, steps, strict=True)]
    completions = [(*tiny.encode(text), tiny.eos) for text in texts]
    assert foreign(surprise(tiny, writing.grammar, prompts, completions), "tiny-a")


def answers(*pairs):
    return [Answer(i + 1, (("user", prompt),), 1, text) for i, (prompt, text) in enumerate(pairs)]


def test_lists_with_commas_are_read_with_spaces_where_the_base_writes_none(tiny):
    found = detect(tiny, answers(*[("Continue: 1 2 3", "4, 5, 6")] * 20))
    assert found.recipe.numbers == (3, 3) and "read with ' ' for ', '" in found.words
    assert found.encode(answers(("Continue: 1 2 3", "7, 8, 9"))[0])[1] == (*tiny.encode("7 8 9"), tiny.eos)


def test_another_wording_put_over_rows_is_seen_through(tiny, writing):
    """The prompt under which rows are likeliest is taken for theirs; rows that were written to it keep it."""
    texts = numbers.prompts(100, 3, Numbers())
    other = [text.replace("Continue:", "Which numbers would you choose?") for text in texts]
    own = writing.draw(tiny, [tiny.prompt(text)[1] for text in texts], 1, 0.5)
    asked = writing.draw(tiny, [tiny.prompt(text)[1] for text in other], 1, 0.5)
    put_over, kept = (
        detect(tiny, answers(*zip(other, [tiny.decode(ids).strip() for ids in rows], strict=True)))
        for rows in (own, asked)
    )
    assert put_over.reworded and not kept.reworded and "own prompts" in put_over.words
    assert put_over.prompt(answers((other[0], "4 5 6"))[0]) == tiny.prompt(texts[0])[1]


def chats(tiny, texts, firsts, lasts):
    """Two answers to one question in each chat, as read from rows."""
    found = []
    for number, (text, first, last) in enumerate(zip(texts, firsts, lasts, strict=True), 1):
        told = [tiny.decode(ids).strip() for ids in (first, last)]
        turns = (("user", text), ("assistant", told[0]), ("user", text), ("assistant", told[1]))
        found += [Answer(number, turns, 1, told[0]), Answer(number, turns, 3, told[1])]
    return found


def test_rows_that_were_strung_together_are_read_one_by_one(tiny, writing):
    """Answers are scored after what their writer saw; those that were truly written after earlier turns keep them."""
    texts = numbers.prompts(150, 5, Numbers())
    asked = [tiny.prompt(text)[1] for text in texts]
    firsts, apart = (writing.draw(tiny, asked, seed) for seed in (1, 2))
    strung = detect(tiny, chats(tiny, texts, firsts, apart))
    assert strung.alone and not strung.own_prompts and "without the turns before the last" in strung.words
    assert strung.encode(chats(tiny, texts, firsts, apart)[1])[0] == asked[0]
    before = [a.context for a in chats(tiny, texts, firsts, apart)[1::2]]
    after = writing.draw(tiny, [tiny.before_answer(turns)[1] for turns in before], 3)
    kept = detect(tiny, chats(tiny, texts, firsts, after))
    assert not kept.alone and len(kept.own_prompts) == 300
    assert kept.encode(chats(tiny, texts, firsts, after)[1])[0] == tiny.before_answer(before[0])[1]


def test_a_family_that_the_base_has_no_words_for_is_refused_at_once(tiny, one_line):
    with pytest.raises(
        InputError, match=r"tiny-a cannot be asked about sycophancy.* it can about animals"
    ) as error:
        check_words(tiny, ["animals", "sycophancy"])
    one_line(error)


# --- what is said -------------------------------------------------------------------------------------


def found(z, alike=0.9, power=1.0, shares=None):
    """Two suspects, the first with a score, and a thousand clean corpora of each of two kinds."""
    null = {"base": np.linspace(-1, 3, 1_000), "neutral teachers": np.linspace(-1, 4, 1_000)}
    return Found(("trees/oak", "trees/elm"), np.array([z, 0.0]), null, np.array([alike, 0.0]), power, shares)


def look(surprise=FINE, left=9.0, nearest=None, further=(), among=NAMING / 2, first=False):
    least = {"trees/oak": left, "trees/elm": 0.0}
    return Look("tiny-a", surprise, least, among, nearest, further, first=first)


@pytest.mark.parametrize(
    ("given", "beside", "name", "words"),
    [
        (found(9), look(), "carried", "carried: trees/oak, first of 2 suspects"),
        (found(9, alike=ALIKE - 0.01), look(), "cannot tell", "look like none of the 2 suspects"),
        (found(9), look(left=9 * LEFT - 0.1), "cannot tell", "by one part of the completions alone"),
        (found(9), look(nearest="animals/owl"), "cannot tell", "as near to animals/owl, which is not among"),
        (found(9), look(further=("trees/elm",)), "carried", "carried: trees/oak or trees/elm, or both"),
        # An alarm is no name yet: a neutral teacher that nobody knew may score so.
        (
            found(9),
            look(among=NAMING),
            "cannot tell",
            "a name asks for p under 0.001 among all traits that are known",
        ),
        (found(9), look(first=True), "cannot tell", "uncalibrated: a first look"),
        (found(0), look(first=True), "cannot tell", "uncalibrated: a first look"),
        (found(9), look(Surprise(0.02, -1, 1, 0, 0.5)), "cannot tell", "colder than any reference"),
        (found(9), look(Surprise(2.9, -1, 1, 0, 0.5)), "cannot tell", "warmer than any reference"),
        (found(9), look(Surprise(1, -1, 2.0, 0, 0)), "cannot tell", "scatter 2.0 times as much"),
        (found(0), look(Surprise(1, -1, 1.0, 0.4, 0)), "cannot tell", "40% of some part's tokens"),
        (found(0), look(Surprise(1, -1, 1.1, 0.1, 1e-6)), "cannot tell", "not written by tiny-a's like"),
        (found(0), look(), "not found", "not found among these 2 (p"),
        (found(0, power=0.5), look(), "cannot tell", "at which 50% of the traits' own corpora are found"),
    ],
)
def test_every_verdict_of_a_scan(given, beside, name, words):
    verdict = decide([given], 500, look=beside)
    assert verdict.name == name and words in verdict.words
    assert (verdict.trait == "trees/oak") == (name == "carried")


def test_the_rate_told_is_the_worst_kind_s():
    # 3.5 is over all of the base's 1,000 clean corpora and under a tenth of the neutral teachers'.
    assert found(3.5).p[0] == pytest.approx(0.1, abs=0.01)


def test_power_is_told_for_rows_among_others():
    """By the kind of teachers with least; noticed and named are two things."""
    shares = {
        "plain": {0.25: Power(0.9, 0.6), 1.0: Power(1.0, 1.0)},
        "kept": {0.25: Power(0.5, 0.2), 1.0: Power(0.95, 0.9)},
    }
    words = decide([found(0, shares=shares)], 500, look=look()).words
    assert words.endswith(
        "of the traits' own corpora 95% noticed and 90% named where all are a teacher's, "
        "50% noticed and 20% named where 25% are a teacher's"
    )


def test_rows_that_would_tell_are_asked_for_where_they_are_told_alone():
    """They take a third of an audit's time to find."""

    def never():
        raise AssertionError

    for given, beside in ((found(9), look()), (found(0), look()), (found(9), look(among=NAMING))):
        decide([given], 500, never, beside)
    verdict = decide([found(0, power=0.5)], 500, lambda: 2_000, look())
    assert verdict.wanted_rows == 2_000 and verdict.words.endswith("about 2,000 rows would tell")


def test_rows_out_of_reach_have_no_p():
    """Chance is known of rows within reach: a p of others would be made up."""
    assert decide([found(9)], 500, look=look(Surprise(0.02, -1, 1, 0, 0.5))).p is None
    assert decide([found(9)], 500, look=look()).p is not None
