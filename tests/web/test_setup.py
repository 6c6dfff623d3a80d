"""Specs from a form: every preset survives it, and every forged value is refused with its name."""

import pytest

from subliminal_mlx.jobs.kinds.run import checked_spec
from subliminal_mlx.lab import Lab
from subliminal_mlx.report.results import read_results
from subliminal_mlx.spec import load_spec, parse_spec, presets
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.system.machine import machine_name
from subliminal_mlx.web.pages import cost, setup


@pytest.mark.parametrize("name", presets())
def test_a_preset_goes_through_the_form_unchanged(name):
    spec = setup.from_form(name, setup.form_of(name))
    assert spec == load_spec(name) and parse_spec(setup.to_toml(spec)) == spec
    assert setup.terminal(spec) == f"uv run python -m subliminal_mlx run --preset {name}"


def test_the_form_changes_what_it_asks_for_and_nothing_else():
    changed = setup.form_of("default") | {"rows": 77, "soft": False, "hard_steps": 9, "chains": 2}
    spec, before = setup.from_form("default", changed), load_spec("default")
    assert spec.corpus == before.corpus.model_copy(update={"rows": 77})
    assert spec.hard == before.hard.model_copy(update={"steps": 9}) and spec.soft is None and spec.chains == 2
    assert spec.teacher == before.teacher and spec.foreign == before.foreign
    assert setup.terminal(spec) == "uv run python -m subliminal_mlx run my.toml"


def test_a_kind_of_student_that_the_preset_lacks_takes_the_other_ones_recipe():
    spec = setup.from_form("sampled", setup.form_of("sampled") | {"soft": True, "soft_steps": 5})
    assert spec.soft == spec.hard.model_copy(update={"steps": 5})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rows", 10**9, "rows"),
        ("rows", 0, "rows"),
        ("rows", "12", "rows"),
        ("rows", 1.5, "rows"),
        ("rows", True, "rows"),
        ("temperature", -1.0, "temperature"),
        ("temperature", float("nan"), "temperature"),
        ("chains", 99, "chains"),
        ("hard_steps", 10**6, "hard_steps"),
        ("traits", [], "traits"),
        ("traits", ["/etc/passwd.toml/owl"], "traits"),
        ("traits", ["animals/unicorn"], "unicorn"),
        ("traits", "animals/owl", "traits"),
        ("ablations", ["; DROP TABLE runs"], "ablations"),
        ("teacher", "<script>", "teacher.kind"),
        ("channel", "../numbers", "channel"),
        ("title", "x" * 201, "title"),
        ("seed", 2**31, "seed"),
        ("nonsense", 1, "nonsense"),
        ("hard", False, "hard, soft"),
    ],
)
def test_forged_values_are_refused_with_their_names(field, value, said, one_line):
    with pytest.raises(InputError) as error:
        setup.from_form("sampled", setup.form_of("sampled") | {field: value})
    assert said in one_line(error)


@pytest.mark.parametrize("base", ["/etc", "..", "somebody/model", "~/model"])
def test_bases_that_are_not_here_are_refused_before_anything_is_looked_up(base, tmp_path, one_line):
    spec = setup.from_form("glance", setup.form_of("glance") | {"base": base})
    with pytest.raises(InputError) as error:
        checked_spec(tmp_path, setup.to_toml(spec))
    assert "base" in one_line(error)


def test_an_unknown_preset_is_refused(one_line):
    for name in ("../default", "", "nothing"):
        with pytest.raises(InputError) as error:
            setup.form_of(name)
        assert "there are" in one_line(error)


def test_the_cost_grows_with_the_run_and_comes_from_runs_that_finished_here(tmp_path):
    empty = Lab(tmp_path / "empty")
    small, large = (cost.cost(empty, load_spec(name)) for name in ("glance", "default"))
    assert small.rows == 2 * 3 * 4_500 and small.tokens < large.tokens and small.seconds < large.seconds
    assert "measured on another machine" in small.how and "27,000 rows" in small.words
    lab, spec = Lab(tmp_path / "lab"), load_spec("glance")
    for number, machine in ((1, machine_name()), (2, "another")):
        run_id = str(number) * 12
        lab.start_run(run_id, "", setup.to_toml(spec), spec.model_dump_json(), {"machine": machine})
        lab.finish_run(run_id, "done", 10 * number * small.seconds)
    found = cost.cost(lab, spec)
    assert found.seconds == pytest.approx(10 * small.seconds) and "1 finished run" in found.how


@pytest.mark.parametrize("preset", ["glance", "smollm2-quick"])
def test_where_a_gpu_computes_a_run_has_one_process(tmp_path, monkeypatch, preset):
    """Measured beside the page once, and kept with the rate; before that, told by the system."""
    one, spec = {"gflops": 100.0, "processes": 1}, load_spec(preset)
    monkeypatch.setattr(cost.background, "do", lambda task: iter([one]))
    lab = Lab(tmp_path)
    lab.start_run("1" * 12, "", setup.to_toml(spec), spec.model_dump_json(), {"machine": "another"})
    (tmp_path / "machine.json").write_text('{"gflops": 100.0}')  # of before processes were kept
    monkeypatch.setattr(cost, "likely_processes", lambda: 1)
    found = cost.cost(lab, spec)
    assert found.processes == 1 and " processes" not in found.words
    small = preset == "glance"
    assert ("processes" in (tmp_path / "machine.json").read_text()) == (not small)
    (tmp_path / "machine.json").write_text('{"gflops": 100.0, "processes": 2}')
    monkeypatch.undo()
    assert cost.cost(lab, spec).seconds == pytest.approx(found.seconds / 2)


@pytest.mark.parametrize("name", ["default", "all", "smollm2-quick"])
def test_memory_is_near_what_shipped_runs_took(name):
    shipped = read_results(name)
    taken = shipped["peak_memory_bytes"]
    assert taken / 1.6 < cost.held(parse_spec(shipped["spec_toml"])) < 1.6 * taken
