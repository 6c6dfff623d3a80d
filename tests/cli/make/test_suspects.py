"""Shipped teachers of the audit: all that an audit as it is asks for, none besides, and what tuning them again gives."""

import json

import numpy as np
import pytest

from subliminal_mlx.audit.known import know_teachers, known_tasks
from subliminal_mlx.audit.spec import parse_audit_spec
from subliminal_mlx.audit.suspects import SHIPPED, load_suspects, members, readable
from subliminal_mlx.cli.make.suspects import LIST


@pytest.fixture(scope="module")
def asked(tiny, tmp_path_factory):
    families = readable(tiny)
    spec = parse_audit_spec({"base": "tiny-a", "families": families})
    return spec, known_tasks(tiny, spec, tmp_path_factory.mktemp("lab"), families)


def test_an_audit_of_tiny_a_finds_every_teacher_shipped(tiny, asked, tmp_path):
    spec, tasks = asked
    assert {task.path.parent for task in tasks} == {SHIPPED} and len(tasks) > 40
    heard = []
    known = know_teachers(
        tiny,
        spec,
        tmp_path,
        lambda family, tell: members(tiny, family, spec.suspects, tmp_path, tell),
        heard.append,
    )
    assert len(known.traits) == 28 and not heard and not list(tmp_path.iterdir())


def test_nothing_ships_that_no_audit_asks_for(asked):
    names = {task.path.name for task in asked[1]}
    assert {path.name for path in SHIPPED.iterdir()} == names | {LIST}
    assert set(json.loads((SHIPPED / LIST).read_text())["tiny-a"]) == names


def test_a_first_look_and_fewer_teachers_find_theirs_among_them(tiny, tmp_path):
    few = {"suspects": {"members": 1}, "null": {"teachers": 2}}
    spec = parse_audit_spec({"base": "tiny-a", "families": ["trees"]} | few)
    tasks = known_tasks(tiny, spec, tmp_path, ["trees"])
    assert {task.path.parent for task in tasks} == {SHIPPED} and len(tasks) == 5


def test_another_recipe_finds_none_of_them(tiny, tmp_path):
    spec = parse_audit_spec(
        {"base": "tiny-a", "families": ["trees"], "suspects": {"steps": 81}, "null": {"seed": 1}}
    )
    assert {task.path.parent for task in known_tasks(tiny, spec, tmp_path, ["trees"])} == {tmp_path}


def test_tuned_again_a_shipped_teacher_is_the_same(asked, tmp_path):
    """To what another machine's sums differ by: what ships is what the code makes, and was not tuned otherwise."""
    task = min(asked[1], key=lambda task: task.tokens)
    task.make(tmp_path / task.path.name, lambda event: None)
    found, shipped = load_suspects(tmp_path / task.path.name), load_suspects(task.path)
    for path, ab in shipped.arrays.items():
        change, again = (np.array(x["a"] @ x["b"]) for x in (ab, found.arrays[path]))
        assert np.linalg.norm(change - again) < 0.05 * np.linalg.norm(change), path
