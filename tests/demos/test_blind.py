"""The blind test: its lists come from a real run, its classifier sees other rows, its scores are exact."""

import json

import mini
import pytest

from subliminal_mlx.demos.blind import ngrams, rounds, rows
from subliminal_mlx.demos.blind.student import train_on
from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.lab import Lab
from subliminal_mlx.spec.families import find_trait
from subliminal_mlx.system.errors import InputError

LISTS = rows.read_lists()


def test_the_stored_lists_are_rows_of_the_shipped_run():
    shipped = json.loads((rows.FOLDER.parent / "default" / "summary.json").read_text())
    assert shipped["id"] == LISTS.run_id and LISTS.trait == "animals/owl"
    assert len(LISTS) == LISTS.spec.corpus.rows == 6_000
    assert list(LISTS.rows) == sorted(set(LISTS.rows))
    for text in (*LISTS.treated, *LISTS.neutral):
        assert numbers.reason(text) is None
    assert all(prompt.startswith("Continue: ") for prompt in LISTS.prompts)
    assert sum(file.stat().st_size for file in rows.FOLDER.iterdir()) < 250_000


def test_lists_are_written_from_a_finished_run_and_from_nothing_else(tmp_path, tmp_path_factory, one_line):
    done = mini.finished(tmp_path_factory)
    lab = Lab(done.lab)
    count = rows.write_lists(lab, done.run_id, tmp_path / "blind", "animals/cat")
    made = rows.read_lists(tmp_path / "blind")
    kept = {r["row"]: r["completion"] for r in lab.rows(done.run_id, source="animals/cat").to_pylist()}
    assert len(made) == count > 0 and made.run_id == done.run_id
    assert list(made.treated) == [kept[row] for row in made.rows]
    for run_id, trait, reason in (
        ("0" * 12, None, "not done"),
        (done.run_id, "animals/../owl", "the run has animals/owl, animals/cat"),
    ):
        with pytest.raises(InputError) as error:
            rows.write_lists(lab, run_id, tmp_path / "other", trait)
        assert reason in one_line(error)
    with pytest.raises(InputError, match="writes them"):
        rows.read_lists(tmp_path / "nothing")


def test_the_classifier_is_judged_on_rows_it_has_not_seen():
    judge, unseen = ngrams.stored_judge(), ngrams.held_out(LISTS)
    assert judge.first.total == judge.second.total == 8 * unseen.start, "all others were counted"
    assert unseen.start >= 2 * (len(LISTS) // 3) and unseen.stop == len(LISTS)
    found = rounds.classifier_accuracy()
    right, tried, low, high = found[1]
    # A row that both teachers wrote alike, as they do under shared keys, is told apart by nobody.
    alike = sum(LISTS.treated[i] == LISTS.neutral[i] for i in unseen)
    assert tried == len(unseen) and 0.5 < low < right / tried < high < 0.75
    assert right / (tried - alike) > 0.6
    right, tried, low, _ = found[rounds.SIZE]
    assert tried == len(unseen) // rounds.SIZE and low > 0.9


def test_the_classifier_finds_nothing_where_there_is_nothing():
    """Both lists from one teacher: every second row of it called the other's."""
    texts = LISTS.neutral
    same = rows.Lists("", "", LISTS.spec, LISTS.rows[::2], LISTS.prompts[::2], texts[::2], texts[1::2])
    right, tried = ngrams.accuracy(ngrams.fit(same), same, ngrams.held_out(same), 1)
    assert abs(right / tried - 0.5) < 3 * 0.5 / tried**0.5, "within 3 standard errors of a coin"


def test_rounds_are_new_rows_on_both_sides_and_the_same_for_a_seed():
    game = rounds.rounds(7)
    assert game == rounds.rounds(7) != rounds.rounds(8)
    assert len(game) == 10
    used = [row for shown in game for row in shown.rows]
    assert len(used) == len(set(used)) and min(used) >= ngrams.held_out(LISTS).start
    for shown in game:
        treated = shown.left if shown.treated_left else shown.right
        assert treated == tuple(LISTS.treated[i] for i in shown.rows)
    sides = [shown.treated_left for seed in range(40) for shown in rounds.rounds(seed)]
    assert abs(sum(sides) / 400 - 0.5) < 0.075, "3 standard errors of a fair coin"


def test_guesses_are_scored_exactly():
    game = rounds.rounds(3)
    right = [shown.answer for shown in game]
    wrong = [side for shown in game for side in rounds.SIDES if side != shown.answer]
    for count, p in ((10, 1 / 1024), (9, 11 / 1024), (5, 638 / 1024), (0, 1.0)):
        found = rounds.score(game, right[:count] + wrong[count:])
        assert (found.right, found.p) == (count, pytest.approx(p))
    assert rounds.score(game, right).classifier >= 8
    for forged in (right[:9], ["left"] * 9 + ["<b>"], [*right, "left"]):
        with pytest.raises(InputError):
            rounds.score(game, forged)


def test_students_start_as_the_base_and_only_the_lists_differ(one_line):
    points = []
    train_on("tiny-b", points.append, steps=3)
    assert [point.step for point in points] == [0, 1, 2, 3]
    family, _ = find_trait(LISTS.trait)
    assert set(points[0].treated) == set(family.held_out[0].labels)
    assert points[0].treated == points[0].neutral and points[3].treated != points[3].neutral
    for point in points:
        assert sum(point.treated.values()) == pytest.approx(1) == sum(point.neutral.values())
    for base, steps, reason in (("/etc", None, "has tiny-a, tiny-b"), ("tiny-a", 10**9, "must be 1 to 300")):
        with pytest.raises(InputError) as error:
            train_on(base, points.append, steps=steps)
        assert reason in one_line(error)
