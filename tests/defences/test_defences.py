"""Defences and their random controls: what they change, what they cost, and a bench of them from end to end."""

import csv
import json

import duckdb
import numpy as np
import pyarrow.compute as pc
import pytest
from mini import failure, quick

from subliminal_mlx.audit.likelihood import token_ratios
from subliminal_mlx.audit.spec import Suspects
from subliminal_mlx.audit.suspects import average, suspects
from subliminal_mlx.defences import defend
from subliminal_mlx.defences.bench import bench_spec, report
from subliminal_mlx.defences.evidence import evidence
from subliminal_mlx.experiment.channels import channel
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.experiment.statistics import ratio
from subliminal_mlx.lab import Lab
from subliminal_mlx.lab.identity import identify, stack_size
from subliminal_mlx.lab.lineage import trace
from subliminal_mlx.measure.talk import talk
from subliminal_mlx.model.batches import passes
from subliminal_mlx.model.rows import Rows, pack
from subliminal_mlx.model.sample import sample
from subliminal_mlx.report import charts
from subliminal_mlx.report.results import write_results
from subliminal_mlx.spec import load_spec, parse_spec
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.spec.plan import plan
from subliminal_mlx.system.errors import InputError

BENCH = """
title = "A small bench"
traits = ["animals/owl", "animals/cat"]
chains = 2
teacher = {rank = 2, steps = 12, batch = 4, lr = 0.05, neutral_answers = 2}
corpus = {rows = 40, numbers = [4, 4]}
hard = {rank = 2, steps = 10, batch = 8, lr = 0.05}
readout = {points = 1, answers = 0}
"""
MINE = """
def defend(rows, seed):
    kept = [dict(row) for row in rows[: len(rows) * 3 // 4]]
    for row in kept[:5]:
        row["completion"] = " ".join(reversed(row["completion"].split()))
    kept[-1]["skip"] = [(0, 2)]
    return kept
"""
# How the fourth schema kept costs: among the metrics, at the last step, under names appended to the slot's.
AS_SCHEMA_4 = """
ALTER TABLE metrics ADD COLUMN grad_norm DOUBLE;
ALTER TABLE metrics ADD COLUMN learning_rate DOUBLE;
ALTER TABLE metrics ADD COLUMN tokens BIGINT;
ALTER TABLE metrics ADD COLUMN seconds DOUBLE;
INSERT INTO metrics (run, slot, step, tokens) SELECT run, slot || '/rows-lost', 10, rows_lost FROM costs;
INSERT INTO metrics (run, slot, step, tokens) SELECT run, slot || '/tokens-lost', 10, tokens_lost FROM costs;
INSERT INTO metrics (run, slot, step, loss) SELECT run, slot || '/clean-rows', 10, clean_loss FROM costs;
DROP TABLE costs;
UPDATE meta SET value = 4 WHERE key = 'schema';
"""


@pytest.fixture(scope="module")
def setting(tiny):
    return Setting(parse_spec(BENCH), tiny)


@pytest.fixture(scope="module")
def rows(setting):
    return _rows(setting, 10)


def _rows(setting, first, count=40):
    """Rows as the lab keeps them, with numbers that say which row they are of."""
    base, found = setting.base, []
    for row, (_, rendered, prompt) in enumerate(setting.prompts(0)[:count]):
        text = " ".join(str((first + 7 * row + i) % 100) for i in range(4))
        ids = [*base.encode(text), base.eos]
        found.append(
            dict(row=row, prompt=rendered, prompt_ids=list(prompt), completion=text, completion_ids=ids)
        )
    return found


def test_mixing_takes_clean_rows_at_the_controls_places(setting, rows):
    clean = _rows(setting, 55, 30)
    mixed, control = (defend("mix-25", rows, clean, setting, 3, c) for c in (False, True))
    places = [i for i, row in enumerate(mixed.rows) if row is not rows[i]]
    assert len(places) == mixed.rows_lost == control.rows_lost == 10
    assert all(mixed.rows[i]["clean_from"] == 0 for i in places)
    assert all({k: v for k, v in mixed.rows[i].items() if k != "clean_from"} in clean for i in places)
    assert len({mixed.rows[i]["row"] for i in places}) == 10  # no clean row twice
    assert mixed.tokens_lost == control.tokens_lost == 10 * 5
    changed = [i for i, row in enumerate(control.rows) if row is not rows[i]]
    assert changed == places and all(any(row is r for r in rows) for row in control.rows)
    with pytest.raises(InputError, match="needs 20 clean rows, there are 3"):
        defend("mix-50", rows, clean[:3], setting, 3)


def test_the_base_writes_second_halves_anew(setting, rows):
    numbers = channel("numbers")
    parse = lambda changed: [numbers.parse(row["completion"])[0] for row in changed.rows]
    given = [numbers.parse(row["completion"])[0] for row in rows]
    anew, control = (defend("re-emit", rows, [], setting, 3, c) for c in (False, True))
    for changed in (anew, control):
        assert [row[:2] for row in parse(changed)] == [row[:2] for row in given]
        assert all(len(row) == 4 for row in parse(changed)) and changed.tokens_lost == len(rows) * 3
        for row in changed.rows:
            assert row["completion_ids"] == [*setting.base.encode(row["completion"]), setting.base.eos]
    heads = [setting.base.encode(" ".join(row["completion"].split()[:2])) for row in rows]
    assert [row["clean_from"] for row in anew.rows] == [len(head) for head in heads]
    assert not any("clean_from" in row for row in control.rows)
    tails = lambda found: sorted(n for row in found for n in row[2:])
    assert tails(parse(control)) == tails(given) and parse(control) != given
    assert tails(parse(anew)) != tails(given)
    assert anew == defend("re-emit", rows, [], setting, 3)


def test_a_users_function_is_applied_and_matched(setting, rows, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    mine, control = (defend(str(path), rows, [], setting, 3, c) for c in (False, True))
    assert len(mine.rows) == len(control.rows) == 30 and mine.rows_lost == control.rows_lost == 10
    skipped = lambda changed: sum(row["counted"].count(False) for row in changed.rows if "counted" in row)
    assert skipped(mine) == skipped(control) == 1  # one number is one token here
    assert mine.rows[-1]["counted"] == [False, True, True, True, True]
    by_number = {row["row"]: row for row in rows}
    for changed in (mine, control):
        rewritten = [r for r in changed.rows if r["completion"] != by_number[r["row"]]["completion"]]
        assert 1 <= len(rewritten) <= 5


def test_rows_and_tokens_with_most_evidence_go(setting, rows):
    scores = [np.array([0.0, 0.1, -0.2, 0.0, 0.0]) for _ in rows]
    scores[7] = np.array([0.0, 3.0, 2.0, 1.0, 0.0])
    scores[9] = np.array([9.0, -20.0, 0.0, 0.0, 0.0])
    asked = lambda: scores
    dropped, control = (defend("drop-5", rows, [], setting, 3, c, asked) for c in (False, True))
    assert dropped.rows_lost == control.rows_lost == 2 and 7 not in [row["row"] for row in dropped.rows]
    assert 9 in [row["row"] for row in dropped.rows] and control.rows != dropped.rows
    masked, control = (defend("mask-2", rows, [], setting, 3, c, asked) for c in (False, True))
    assert masked.rows_lost == 0 and masked.tokens_lost == control.tokens_lost == 4
    assert masked.rows[7]["counted"] == [True, False, False, False, True]
    assert masked.rows[9]["counted"] == [False, True, True, True, True]
    assert [row["completion"] for row in masked.rows] == [row["completion"] for row in rows]
    assert [row["counted"] for row in control.rows] != [row["counted"] for row in masked.rows]


def test_evidence_is_the_named_suspects_own(setting, rows, tmp_path):
    """Rows that a suspect wrote itself name it: its tokens are likelier than the family's average finds them."""
    recipe = Suspects(members=1, steps=25, lr=0.05)
    family = "trees"
    stack = suspects(setting.base, family, recipe, tmp_path)
    prompts = [tuple(row["prompt_ids"]) for row in rows]
    drawn = sample(setting.base, prompts, 1, setting.decoding(256), stack.select([3]))[0]
    own = [row | {"completion_ids": list(ids)} for row, ids in zip(rows, drawn, strict=True)]
    drawn = sample(setting.base, prompts, 1, setting.decoding(256))[0]
    clean = [row | {"completion_ids": list(ids)} for row, ids in zip(rows, drawn, strict=True)]
    scores = evidence(own, clean, family, setting, tmp_path, recipe)
    assert [len(row) for row in scores] == [len(row["completion_ids"]) for row in own]
    ids = [tuple(row["completion_ids"]) for row in own]
    alone = token_ratios(setting.base, setting.grammar, stack.select([3]), prompts, ids)[0]
    common = average([stack.select([place]) for place in range(8)])
    beside = token_ratios(setting.base, setting.grammar, common, prompts, ids)[0]
    assert np.allclose(scores[0], alone[0] - beside[0], atol=1e-5)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1", "defines no function"),
        ("def defend(rows, seed):\n    return 1 / 0", "ZeroDivisionError"),
        ("def defend(rows, seed):\n    return []", "at least one row"),
        ("def defend(rows, seed):\n    return rows + rows", "or twice"),
        ("def defend(rows, seed):\n    return [{'row': 0, 'completion': ' '}]", "has no completion"),
        ("def defend(rows, seed):\n    return [{'row': 0, 'completion': '1 ' * 99}]", "fit"),
        ("def defend(rows, seed):\n    return [rows[0] | {'skip': 5}]", "skip must be"),
        ("def defend(:", "SyntaxError"),
    ],
)
def test_a_users_mistake_is_one_line(setting, rows, tmp_path, one_line, code, says):
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(InputError) as error:
        defend(str(path), rows, [], setting, 3)
    assert says in one_line(error)


def test_tokens_that_do_not_count_teach_nothing(tiny, setting, rows):
    """Training with tokens uncounted equals training where they were never targets."""
    from subliminal_mlx.model.adapters import Shape, init
    from subliminal_mlx.model.train import Recipe, train

    prompts, ids = [tuple(r["prompt_ids"]) for r in rows[:8]], [tuple(r["completion_ids"]) for r in rows[:8]]
    block = pack(prompts, ids, *setting.widths)
    counted = np.zeros((len(block), block.widest), dtype=bool)
    counted[:, :2] = True
    masked = Rows(block.tokens, block.start, block.length, block.widest, counted=counted)
    short = Rows(block.tokens, block.start, np.full(len(block), 2), block.widest)
    recipe, stack = Recipe(3, 4, 0.01), init(tiny, Shape(2), [1])
    losses = [train(tiny, stack, [data], recipe, [1])[1] for data in (masked, short, block)]
    assert np.array_equal(losses[0], losses[1]) and not np.allclose(losses[0], losses[2])
    none = Rows(block.tokens, block.start, block.length, block.widest, counted=np.zeros_like(counted))
    assert train(tiny, stack, [none], recipe, [1])[1].tolist() == [[0.0]] * 3
    one = next(passes([masked], [np.arange(8)], token_budget=64))
    assert one.counts.tolist() == [16] and one.mask.shape == one.targets.shape


def test_soft_students_follow_the_base_where_it_wrote(make_stack, setting, rows):
    """A teacher's distributions over rows that it did not write would teach what the defence took out."""
    from subliminal_mlx.experiment.students import soft_targets
    from subliminal_mlx.pipeline.defended import with_the_bases_own

    changed = [*rows[:2], rows[2] | {"clean_from": 0}, rows[3] | {"clean_from": 2}]
    prompts, ids = ([tuple(r[k]) for r in changed] for k in ("prompt_ids", "completion_ids"))
    block = pack(prompts, ids, *setting.widths)
    teacher = make_stack([1])
    told, untold = soft_targets(setting, block, teacher), soft_targets(setting, block, None)
    assert not np.allclose(told.targets[:, 0], untold.targets[:, 0], atol=1e-3)
    found = with_the_bases_own(setting, told, changed).targets
    assert np.array_equal(found[:2], told.targets[:2]) and np.array_equal(found[3, :2], told.targets[3, :2])
    assert np.allclose(found[2], untold.targets[2], atol=1e-5)
    assert np.allclose(found[3, 2:], untold.targets[3, 2:], atol=1e-5)
    assert with_the_bases_own(setting, told, rows[:4]) is told


def test_a_ratio_minds_that_its_reference_is_measured():
    found, low, high = ratio([1.0, 1.2, 0.8], [2.0, 2.4, 1.6])
    assert found == pytest.approx(0.5) and low == pytest.approx(0.5) and high == pytest.approx(0.5)
    found, low, high = ratio([0.1, -0.1, 0.05], [2.0, 2.2, 1.9])
    assert low < 0 < found < high < 0.2
    assert ratio([1.0, 1.0, 1.0], [2.0, -2.0, 0.1])[1:] == (None, None)  # it may as well be 0
    assert ratio([1.0], [2.0]) == (0.5, None, None)
    # Coverage: 95% of the intervals hold the true ratio, within 3 standard errors of 1,000 draws.
    rng = np.random.default_rng(0)
    y = 2 + 0.3 * rng.standard_normal((1000, 4))
    x = 0.6 + 0.3 * rng.standard_normal((1000, 4))
    ends = [ratio(a, b)[1:] for a, b in zip(x, y, strict=True)]
    held = np.mean([low is None or low <= 0.3 <= high for low, high in ends])
    assert abs(held - 0.95) < 3 * (0.95 * 0.05 / 1000) ** 0.5


def test_a_bench_is_the_runs_own_chains():
    spec = load_spec("default")
    bench = bench_spec(spec, kinds=["hard"])
    assert bench.foreign == "tiny-b" and bench.soft is None and bench.ablations == ()
    assert (bench.seed, bench.teacher, bench.corpus, bench.hard) == (
        spec.seed,
        spec.teacher,
        spec.corpus,
        spec.hard,
    )
    arms = {
        slot.arm
        for unit in plan(bench, stack_size("tiny-a"))
        for slot in unit.slots
        if unit.stage == "defended"
    }
    assert len(arms) == 14 and {"mix-10", "mix-10-random", "other-init", "other-init-random"} <= arms
    with pytest.raises(InputError, match="no 'pray'"):
        bench_spec(spec, ["pray"])
    with pytest.raises(InputError, match="two have one name"):
        bench_spec(spec, ["a/x.py", "b/x.py"])
    with pytest.raises(InputError, match="no other initialisation of smollm2-135m"):
        bench_spec(load_spec("smollm2-quick"), ["other-init"])


def test_the_command_trains_and_reports_everything(tmp_path):
    file, mine, chart = tmp_path / "bench.toml", tmp_path / "mine.py", tmp_path / "chart.svg"
    file.write_text(BENCH)
    mine.write_text(MINE)
    command = (
        "defend",
        file,
        "--defence",
        "mix-50",
        "--defence",
        "other-init",
        "--defence",
        mine,
        "--lab",
        tmp_path,
    )
    child = quick(*command, "-o", chart, "--processes", 1)
    assert child.returncode == 0, child.stderr
    assert "mix-50-random" in child.stdout and "own-mine" in child.stdout
    assert "What stops the transfer" in chart.read_text()
    rows = {row["arm"]: row for row in json.loads(quick(*command, "--json").stdout)["defences"]}
    assert set(rows) == {n + r for n in ("mix-50", "other-init", "own-mine") for r in ("", "-random")} | {
        "treated"
    }
    none = rows["treated"]
    assert none["share"] == 1 and none["rows_lost"] == none["clean_added"] == 0 and none["chains"] == 2
    assert rows["mix-50"]["rows_lost"] == rows["mix-50-random"]["rows_lost"] == 0.5
    assert rows["own-mine"]["rows_lost"] == 0.25 and rows["own-mine"]["tokens_lost"] > 0.25
    assert rows["other-init"]["rows_lost"] == 0 and rows["other-init"]["clean_added"] != 0
    for row in rows.values():
        assert row["transfer"] == pytest.approx(np.mean([t["transfer"] for t in row["traits"]]))
        assert row["share"] == pytest.approx(row["transfer"] / none["transfer"])
        assert row["clean_loss"] > 0
    # The undefended student is that of the same spec without defences, and the readouts say what the report does.
    spec = bench_spec(parse_spec(BENCH), ["mix-50", "other-init", str(mine)])
    lab = Lab(tmp_path)
    assert report(lab, identify(spec)) == list(rows.values())
    assert charts.defences(list(rows.values())).to_dict()
    write_results(lab, identify(spec), tmp_path / "results")
    stored = list(csv.DictReader((tmp_path / "results" / "defences.csv").open()))
    assert [row["arm"] for row in stored] == list(rows)
    assert float(stored[1]["share"]) == pytest.approx(rows[stored[1]["arm"]]["share"], rel=1e-4)
    assert (tmp_path / "results" / "defences.svg").exists()
    # Students of another initialisation are the other base's: their adapters fit both and mean nothing on ours.
    of = {arm: trace(f"{identify(spec)}/hard/{arm}/animals/owl/c0", lab) for arm in ("treated", "other-init")}
    assert [record.base.name for record in of.values()] == ["tiny-a", "tiny-b"]
    asked = load_family("animals").held_out[0]
    said = talk(lab, identify(spec), asked.text, "other-init", "animals/owl", "hard", count=1)
    read = [
        row["logp"]
        for row in lab.readouts(identify(spec)).to_pylist()
        if (row["slot"], row["question"], row["step"]) == ("hard/other-init/animals/owl/c0", asked.id, 10)
    ]
    student = next(answer for answer in said if answer.model == "other-init student")
    assert sorted(student.probabilities.values()) == pytest.approx(sorted(np.exp(read)), rel=1e-3)
    # Neutral text is read beside the student's own base: another initialisation's loss is not ours, its change is.
    read = {row["arm"]: row for row in lab.run(identify(spec))["summary"]["capability"]}
    own, other = (
        {
            row["base_loss"]
            for row in lab.capability(identify(spec)).to_pylist()
            if row["arm"] == arm and row["text"] == 40
        }
        for arm in ("treated", "other-init")
    )
    assert len(own) == len(other) == 1 and own != other
    assert abs(read["other-init"]["change"]) < 1 and read["other-init"]["displacement"] > 0
    says = failure(quick("defend", file, "--defence", "nothing.py", "--lab", tmp_path), 2)
    assert "no file nothing.py" in says
    says = failure(quick("defend", file, "--defence", "zap", "--lab", tmp_path), 2)
    assert "bench: defences: no 'zap': there are mix-10" in says
    # Costs are of no training curve, and a lab that kept them there gives the same bench.
    name = identify(spec)
    costs, metrics = lab.costs(name), lab.metrics(name)
    assert costs.num_rows == 2 * (3 + 1 + 6 * 3)  # traits, neutral and control, then what is defended of them
    of_no_trait = costs.filter(pc.is_null(costs["trait"]))
    assert set(of_no_trait["arm"].to_pylist()) == {"control"} and of_no_trait.num_rows == 2
    assert sum(column.null_count for column in costs.columns) == of_no_trait.num_rows
    assert set(costs["slot"].to_pylist()) <= set(metrics["slot"].to_pylist()) == set(lab.adapters(name))
    with duckdb.connect(str(tmp_path / "lab.duckdb")) as con:
        con.execute(AS_SCHEMA_4)
    assert report(lab, name) == list(rows.values())
    assert lab.costs(name).equals(costs) and lab.metrics(name).equals(metrics)
    # Under way, some arms have chains that others lack: all are shown over the same ones.
    with duckdb.connect(str(tmp_path / "lab.duckdb")) as con:
        con.execute("DELETE FROM readouts WHERE arm = 'own-mine-random' AND chain = 1")
    some = {row["arm"]: row for row in report(lab, identify(spec))}
    assert some.keys() == rows.keys() and {row["chains"] for row in some.values()} == {1}
    assert some["treated"]["share"] == 1 and some["treated"]["transfer"] != none["transfer"]
