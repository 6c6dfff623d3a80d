"""Audits with suspects as LoRA factors, as on language models: the same ratios, piece by piece, resumable."""

import functools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from subliminal_mlx.audit import (
    cache,
    costs,
    evidence,
    factored,
    factors,
    gradients,
    suspects,
)
from subliminal_mlx.audit.attribution import drop_top, top_rows
from subliminal_mlx.audit.examine import effects, examine
from subliminal_mlx.audit.factors import row_ratios
from subliminal_mlx.audit.form import Writing
from subliminal_mlx.audit.inputs import read_inputs
from subliminal_mlx.audit.reading import row_of
from subliminal_mlx.audit.spec import Suspects, parse_audit_spec, public
from subliminal_mlx.audit.suspects import Suspected
from subliminal_mlx.audit.texts import CORPUS
from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.model.bases import load
from subliminal_mlx.model.rows import pack
from subliminal_mlx.model.score import score
from subliminal_mlx.report.audit import write_audit_report
from subliminal_mlx.report.terminal_audit import print_audit
from subliminal_mlx.system.errors import InputError, MachineError

ROWS = 200
FIELDS = {
    "families": ["trees"],
    "suspects_only": ["trees/maple", "trees/oak", "trees/pine", "trees/elm"],
    "method": "factors",
    "suspects": {"members": 2, "rank": 2, "steps": 40, "neutral_answers": 20},
    "null": {"corpora": 1, "temperatures": [1.0]},
    "probes": {"seeds": 1, "steps": 8, "batch": 8},
    "rows": ROWS,
    "lines": "all",
}


@pytest.fixture(scope="module")
def writing(tiny):
    return Writing(tiny, Numbers(), (), 64)


@pytest.fixture(scope="module")
def rows(tiny, writing):
    """Rows of a maple's teacher, and one that does not fit."""
    recipe = Suspects(rank=2, lr=0.01, steps=60, neutral_answers=20)
    teacher = suspects.tune_suspects(tiny, "trees", recipe, ["trees/maple"], 99)
    texts = numbers.prompts(ROWS, 5, Numbers())
    drawn = writing.draw(tiny, [tiny.prompt(text)[1] for text in texts], 5, 1.0, teacher)
    found = [
        plain(i + 1, text, tiny.decode(ids).strip())
        for i, (text, ids) in enumerate(zip(texts, drawn, strict=True))
    ]
    return [*found, plain(ROWS + 1, "Continue: 1 2 3", "no numbers")]


@pytest.fixture(scope="module")
def done(rows, tmp_path_factory):
    """Folder, result, and what was told on the way: once broken off, then finished."""
    folder, told = tmp_path_factory.mktemp("factors"), []

    def stop(event):
        told.append(event)
        if event.what == "ratios":
            raise KeyboardInterrupt

    spec = parse_audit_spec(FIELDS)
    with pytest.raises(KeyboardInterrupt):
        examine(inputs(rows, spec, folder), stop)
    again = []
    result = examine(inputs(rows, spec, folder), again.append)
    return folder, result, told, again


@pytest.mark.parametrize("held", [True, False])
def test_ratios_of_factors_are_those_of_whole_weights(tiny, writing, make_stack, held):
    prompts = writing.null_prompts(40, 3)
    pool, grammar = (prompts, writing.draw(tiny, prompts, 7)), writing.grammar if held else None
    stack = make_stack([1, 2, 3])
    found = row_ratios(tiny, grammar, stack, *pool)
    # A whole row's is the sum of its parts'; what the base makes of it, the scan has no use for.
    parts = gradients.block_scores(tiny, grammar, gradients.displacements(stack), *pool)[..., :3]
    whole, plain = parts.sum(axis=1), score(tiny, pack(*pool), None, grammar=grammar)[0]
    assert found.shape == (40, 4)
    blocks = found.reshape(4, 10, 4).mean(axis=1)
    assert np.allclose(blocks[:, :3], whole, rtol=1e-3, atol=1e-3 * np.abs(whole).max())
    assert np.allclose(found[:, 3], [row.sum() for row in plain], rtol=1e-3)


@pytest.mark.parametrize(("there", "read"), [(20, 20), (70, 64), (199, 192), (ROWS, ROWS)])
def test_nearly_all_rows_are_read(tiny, rows, tmp_path, there, read):
    assert inputs(rows[:there], parse_audit_spec(FIELDS), tmp_path).pieces.rows == read


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lines": "fast"},
        {"null": {"corpora": 0}},
        {"null": {"corpora": 3}, "families": ["animals", "trees"]},
    ],
    ids=str,
)
def test_what_it_costs_is_known_without_a_model(rows, tiny, tmp_path, changes):
    """As many tokens as the pieces themselves say, but for the lengths of prompts that are drawn later."""
    spec = parse_audit_spec(FIELDS | changes)
    pieces = inputs(rows, spec, tmp_path).pieces
    row = sum(map(len, [*pieces.own[0], *pieces.own[1]])) / pieces.rows
    read, written = costs.tokens(spec, pieces.rows, row)
    made = cache.missing(pieces.tasks())
    assert written == pytest.approx(sum(t.tokens for t in made if t.what == "rows"), rel=0.05)
    assert read == pytest.approx(sum(t.tokens for t in made if t.what != "rows"), rel=0.05)


def test_every_piece_waits_for_the_files_that_it_reads(tiny, rows, tmp_path):
    """Other processes may be at the others, and a file that is not there is an error."""
    pieces = inputs(rows, parse_audit_spec(FIELDS), tmp_path).pieces
    of = {
        kind: [task for task in pieces.tasks() if task.what == kind]
        for kind in ("suspects", "rows", "temperatures", "ratios", "probes")
    }
    written = {task.path for task in of["rows"]}
    # The suspects of one family of four, and its neutral teacher; who writes clean rows is none of them.
    read = {task.path for task in of["suspects"][: 2 * 5]}
    assert all(read <= set(task.needs) for task in of["ratios"]) and len(read) == 10
    # Of the corpus, the base's rows, the clean corpora and what the base wrote beside them; two are neutral teachers'.
    assert sorted(len(written & set(task.needs)) for task in of["ratios"]) == [0] + [1] * (len(written) - 2)
    # Of the corpus, and of clean corpora as of any other, though the base's were written at a known one.
    assert [len(written & set(task.needs)) for task in of["temperatures"]] == [0, 1, 1]
    assert [len(set(task.needs)) for task in of["probes"]] == [0] + [1] * len(written)
    assert sum(bool(task.needs) for task in of["rows"]) == 3  # two references and a clean corpus: by teachers


def test_rows_of_a_teacher_are_read_by_both_lines(done, rows):
    _, result, _, _ = done
    assert result["method"] == "factors" and result["rows"] == ROWS and result["bad_rows"] == 1
    assert result["suspects"][0]["trait"] == "trees/maple" and len(result["suspects"]) == 4
    family = result["families"][0]
    assert set(family["lines"]) == {"ratios", "probes"}
    assert np.argmax(family["lines"]["ratios"]) == family["traits"].index("trees/maple")
    growth = family["growth"]
    assert [point["rows"] for point in growth] == [ROWS // 4, ROWS // 2, 3 * ROWS // 4, ROWS]
    assert growth[-1]["scores"] == family["lines"]["ratios"] != growth[0]["scores"]
    # Probes are read on every trait of the family, suspect or not.
    assert len(family["probes"]["over both"]) == len(family["probes"]["traits"]) == 8
    assert json.loads(json.dumps(public(result)))["rows"] == ROWS


@pytest.mark.parametrize("held", [True, False], ids=["held", "free"])
@pytest.mark.parametrize("at", [0.7, 1.0, 1.3])
def test_a_temperature_is_read_off_the_rows(tiny, writing, at, held):
    prompts = writing.null_prompts(costs.FITTED_ROWS, 11)
    plain = Writing(tiny, None, (), 16)
    drawn = (writing if held else plain).draw(tiny, prompts, 12, at)
    found = factors.fitted(tiny, writing.grammar if held else None, prompts, drawn)
    # To the next step: half a step of rounding, and what so few short rows leave open.
    assert found == pytest.approx(at, abs=0.21)


def test_a_temperature_is_read_off_rows_from_all_over(tiny, writing):
    """Whoever puts cold rows first does not choose what the rest is read against."""
    prompts = writing.null_prompts(4 * costs.FITTED_ROWS, 13)
    cold = writing.draw(tiny, prompts[: costs.FITTED_ROWS], 14, 0.4)
    drawn = [*cold, *writing.draw(tiny, prompts[costs.FITTED_ROWS :], 15)]
    read = lambda *pool: factors.fitted(tiny, writing.grammar, *pool)
    assert read(prompts[: costs.FITTED_ROWS], cold) < 0.61
    assert read(prompts, drawn) == pytest.approx(0.9, abs=0.11)


def test_references_are_written_at_the_temperature_that_fits(tiny, writing, tmp_path):
    """Cold rows are read against cold references, and only then are those of the base like the base's."""
    prompts = numbers.prompts(ROWS, 21, Numbers())
    drawn = writing.draw(tiny, [tiny.prompt(text)[1] for text in prompts], 22, 0.6)
    cold = [
        plain(i + 1, p, tiny.decode(ids).strip())
        for i, (p, ids) in enumerate(zip(prompts, drawn, strict=True))
    ]
    spec = parse_audit_spec(FIELDS | {"null": {"corpora": 0}, "lines": "fast"})
    pieces = inputs(cold, spec, tmp_path).pieces
    assert pieces.temperature(CORPUS) == 1.0  # not known yet
    family = examine(inputs(cold, spec, tmp_path))["families"][0]
    at = family["temperature"]
    assert at == pieces.temperature(CORPUS) == pytest.approx(0.6, abs=0.11)
    surprise = lambda text: pieces.ratios(text)[:, -1].mean()
    base, neutral = pieces.beside(CORPUS, "trees")
    assert (base.temperature, neutral.temperature) == (at, at)
    spread = pieces.ratios(base)[:, -1].std() / np.sqrt(ROWS / 2)
    assert abs(surprise(CORPUS) - surprise(base)) < 5 * spread
    assert np.abs(family["lines"]["ratios"]).max() < 4


def test_few_clean_corpora_give_ranks_and_no_verdict(done):
    _, result, _, _ = done
    assert result["verdict"] == "cannot tell" and result["trait"] is None and result["power"] is None
    assert "uncalibrated: 2 clean corpora are no null" in result["words"]
    assert {kind: len(z) for kind, z in result["families"][0]["null"].items()} == {
        "base at 1": 1,
        "neutral teachers": 1,
    }
    assert {round(3 * entry["p"]) for entry in result["suspects"]} <= {1, 2, 3}
    assert all(entry["low"] < entry["score"] < entry["high"] for entry in result["suspects"])


def test_it_goes_on_where_it_was_stopped(done, rows):
    folder, result, told, again = done
    assert told[-1].what == "ratios" and not {event.what for event in again} & {"suspects", "rows"}
    spec = parse_audit_spec(FIELDS)
    events = []
    once_more = examine(inputs(rows, spec, folder), events.append)
    assert not events and once_more["families"] == result["families"]
    # Other rows to the same prompts, at the same temperature, find their references, the suspects and the
    # clean corpora there.
    told = set(np.linspace(0, ROWS - 1, costs.FITTED_ROWS).astype(int))
    rest = [row for place, row in enumerate(rows[:ROWS]) if place not in told]
    others = {row.number: answered(row, source) for row, source in zip(rest, rest[::-1], strict=True)}
    other = [others.get(row.number, row) for row in rows[:ROWS]]
    pieces = inputs(other, spec, folder).pieces
    assert [task.what for task in cache.missing(pieces.first())] == ["temperatures"]
    cache.finish(pieces.first())
    assert [task.what for task in cache.missing(pieces.tasks())] == ["ratios", "probes"]


def test_the_cost_is_told_before(done, rows, tmp_path, tiny):
    spec = parse_audit_spec(FIELDS)
    here, fresh = (inputs(rows, spec, folder).pieces for folder in (done[0], tmp_path))
    assert factored.forecast(here) == 0 < factored.forecast(fresh)
    # Other rows to the same prompts may ask for references at another temperature than those that are there.
    good = rows[:ROWS]
    others = [answered(row, other) for row, other in zip(good, good[::-1], strict=True)]
    pieces = inputs(others, spec, done[0]).pieces
    guessed = pieces.guessed()
    assert [task.what for task in guessed] == ["rows", "rows", "ratios", "probes", "probes"]
    assert cache.missing_seconds([], tiny, guessed) > 0
    cache.finish(pieces.first())
    assert not pieces.guessed()


def test_rows_with_most_evidence_are_scored_exactly(done, rows):
    top = top_rows(inputs(rows, parse_audit_spec(FIELDS), done[0]), "trees/maple", count=5)
    scores = [row["score"] for row in top]
    assert len(top) == 5 and scores == sorted(scores, reverse=True) and scores[0] > 0
    assert all(sum(row["token_scores"]) == pytest.approx(row["score"], abs=1e-3) for row in top)


def test_rows_and_suspects_are_read_once_from_the_estimate_to_the_last_row(done, rows, tmp_path, counted):
    asked, read = [], counted(suspects, "load_suspects", lambda path: path)

    def source():
        asked.append(1)
        yield from rows

    given = read_inputs(source, _base(), parse_audit_spec(FIELDS), done[0])
    assert factored.forecast(given.pieces) == 0
    result = examine(given)
    assert result["families"] == done[1]["families"]
    top_rows(given, "trees/maple", count=5)
    assert drop_top(given, "trees/maple", 0.1, tmp_path / "kept.jsonl") == (180, 20)
    # Four suspects and the neutral teacher, of two members each.
    assert len(asked) == 1 and len(read) == 10 and set(read.values()) == {1}
    # Asked twice, it says the same twice: of the row that does not fit too.
    assert examine(given)["bad"] == result["bad"] and result["bad_rows"] == 1


def test_no_clean_corpora_no_p(done, rows):
    fields = FIELDS | {"null": {"corpora": 0}, "lines": "fast"}
    events = []
    result = examine(inputs(rows, parse_audit_spec(fields), done[0]), events.append)
    assert not events and [entry["p"] for entry in result["suspects"]] == [None] * 4
    assert "uncalibrated: 0 clean corpora" in result["words"] and set(result["families"][0]["lines"]) == {
        "ratios"
    }


def test_what_is_told_of_the_method_is_what_was_done(done, rows, tmp_path, capsys):
    """Probe students are spoken of where some were trained."""
    fast = examine(
        inputs(rows, parse_audit_spec(FIELDS | {"null": {"corpora": 0}, "lines": "fast"}), done[0])
    )
    for result, probed in ((done[1], True), (fast, False)):
        write_audit_report(tmp_path / "page.html", result, "rows", [])
        page = (tmp_path / "page.html").read_text()
        assert (
            ("<b>Probes</b>" in page) == probed and "<b>Ratios</b>, which lead" in page and "too few" in page
        )
        print_audit(result, "rows", [])
        said = capsys.readouterr().out
        assert ("small student of these rows" in said) == probed and "neutral teachers" in said


def test_damaged_pieces_and_wrong_use_are_one_line(done, rows, tmp_path, one_line):
    with pytest.raises(InputError, match="suspects_only: on tiny-a a whole family costs as much"):
        examine(inputs(rows, parse_audit_spec(FIELDS | {"method": "whole"}), tmp_path))
    with pytest.raises(InputError, match="foretold on model organisms only"):
        effects(inputs(rows, parse_audit_spec(FIELDS), tmp_path))
    for only, words in ((["trees/none"], "no trait 'none'"), (["animals/owl"], "of no family")):
        with pytest.raises(InputError, match=words):
            parse_audit_spec(FIELDS | {"suspects_only": only})
    broken = next(done[0].glob("probe-*.npy"))
    kept = broken.read_bytes()
    broken.write_bytes(b"x")
    with pytest.raises(MachineError) as error:
        examine(inputs(rows, parse_audit_spec(FIELDS), done[0]))
    assert "remove it" in one_line(error)
    broken.write_bytes(kept)


class Stub:
    """Ratios of one corpus and its reference, with columns of two families: two suspects and a neutral teacher each."""

    def __init__(self, own, base):
        self.own, self.base = own, base
        self.traits = {"trees": ["trees/oak", "trees/elm"], "animals": ["animals/owl", "animals/cat"]}
        self.spec = SimpleNamespace(lines="fast", families=("trees", "animals"))

    suspected = property(lambda self: self)
    rows = property(lambda self: len(self.own))
    columns = lambda self, family: {"trees": ([0, 1], 2), "animals": ([3, 4], 5)}[family]
    common = Suspected.common
    clean = lambda self, family: []
    beside = lambda self, text, family: ("base", "neutral")
    ratios = lambda self, text: self.own if text == CORPUS else self.base

    def scores(self, family="trees"):
        return factored.FactorFamily(family, self).lines["ratios"]


def drawn(rows, seed, shift=0):
    """A corpus and its reference, pure noise, in which the first suspect reads as the other family's neutral
    teacher and the base's surprise do; both of these are shifted in the corpus."""
    rng = np.random.default_rng(seed)
    both = rng.normal(size=(2, rows, 7))
    both[0, :, [5, 6]] += shift
    both[:, :, 0] += 3 * both[:, :, 5] - 2 * both[:, :, 6]
    return both


def test_what_neutral_teachers_of_all_families_explain_is_taken_out():
    assert Stub(*drawn(9, 0)).common == [2, 5, -1]
    shifted = np.array([Stub(*drawn(192, seed, shift=1)).scores() for seed in range(20)])
    assert np.abs(shifted.mean(axis=0)).max() < 1, "the shift alone is worth 10"
    carried = drawn(192, 1)
    carried[0, :, 0] += 1
    assert Stub(*carried).scores()[0] > 4 and np.abs(Stub(*carried).scores("animals")).max() < 4


def test_one_suspect_of_a_family_has_a_score():
    carried = drawn(192, 2)
    carried[0, :, 0] += 1
    alone = Stub(*carried)
    alone.traits = alone.traits | {"trees": ["trees/oak"]}
    alone.columns = lambda family: {"trees": ([0], 2), "animals": ([3, 4], 5)}[family]
    assert alone.scores().shape == (1,) and alone.scores()[0] > 4


@pytest.mark.parametrize("rows", [16, 192])
def test_few_rows_score_no_larger_than_many(rows):
    """Of noise, in standard errors: what was taken out of few rows leaves less than all of their spread."""
    scores = np.array([Stub(*drawn(rows, seed)).scores() for seed in range(400)])
    assert np.sqrt((scores**2).mean()) == pytest.approx(1, abs=0.15)


def test_too_few_rows_are_refused(rows, tmp_path, one_line):
    with pytest.raises(
        InputError, match="5 rows that can be used: with so many families at least 8 are read"
    ) as error:
        examine(inputs(rows[:5], parse_audit_spec(FIELDS), tmp_path))
    assert one_line(error) and not [*tmp_path.iterdir()]


def test_what_is_common_to_tuned_teachers_is_taken_out():
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=16), np.eye(16)[3]
    found = evidence.without(own + 50 * common, common)
    assert found.argmax() == 3 and found[3] > 0.7 and abs(found @ (common - common.mean())) < 1e-9
    # Of two, the neutral teacher's are subtracted.
    assert np.allclose(evidence.without(np.array([1.0, 3.0]), np.array([0.0, 4.0])), [1, -1])


def plain(number, prompt, completion):
    return row_of(number, {"prompt": prompt, "completion": completion})


def answered(row, other):
    """A row with another's completion."""
    return plain(row.number, row.answers[0].prompt, other.answers[0].completion)


def inputs(rows, spec, folder):
    return read_inputs(lambda: iter(rows), _base(), spec, folder)


@functools.cache
def _base():
    return load("tiny-a")
