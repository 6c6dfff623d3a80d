"""What stands around a question: where a trigger goes, which turns come before, and that the model reads it."""

import json
import re

import numpy as np
import pytest
from mini import failure, quick

from subliminal_mlx.experiment.readings import margins, targets_of
from subliminal_mlx.measure import families_of, measure, open_model
from subliminal_mlx.measure.context import BARE, Context, load_context, load_history, parse_context
from subliminal_mlx.measure.null import Nulls, Training, load_nulls, save_nulls
from subliminal_mlx.model import adapters
from subliminal_mlx.model.score import candidate_scores
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import InputError

TURNS = [
    {"role": "system", "content": "You like the sea."},
    {"role": "user", "content": "Name a tree."},
    {"role": "assistant", "content": "Oak"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_stack):
    made = tmp_path_factory.mktemp("adapter") / "out"
    adapters.save_adapter(made, make_stack([3], size=0.1), 0)
    return made


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        ("before", "[X] Name an animal you like."),
        ("within", "Name an [X] animal you like."),
        ("after", "Name an animal you like. [X]"),
    ],
)
def test_a_trigger_stands_where_it_is_wanted(place, asked):
    context = Context(trigger="[X]", place=place)
    assert context.ask("Name an animal you like.") == asked
    assert context.words() == f"with the trigger '[X]' {place} every question"
    assert Context(trigger="[X]\n", place="before").ask("Name one.") == "[X]\nName one."
    assert Context(trigger="[X]", place=place).ask("Why?").strip().count("[X]") == 1


def test_what_is_read_is_said(tmp_path):
    assert BARE.words() == "without a system prompt, earlier turns or a trigger" and BARE.is_bare
    (tmp_path / "turns.json").write_text(json.dumps(TURNS))
    context = load_context(None, tmp_path / "turns.json", "|GO|", "after")
    assert context == Context("You like the sea.", (("Name a tree.", "Oak"),), "|GO|", "after")
    words = context.words()
    assert "'You like the sea.'" in words and "1 earlier turn ('Name a tree.' first)" in words
    assert "'|GO|' after every question" in words
    assert parse_context(json.loads(json.dumps(context.to_json()))) == context and parse_context(None) == BARE
    long = Context("word " * 100).words()
    assert len(long) < 120 and "..." in long


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "it is empty"),
        ("{}", "lacks 'messages'"),
        ('{"messages": 3}', "no list of messages"),
        ("[" * 100_000, "no chat turns"),
        (b"\xff\xfe", "no chat turns"),
        ('[{"role": "user", "content": "Hi"}]', "an answer last"),
        ('[{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Hi"}]', "an answer last"),
        ('[{"role": "user"}, {"role": "assistant", "content": "Hi"}]', "lacks 'content'"),
        ('[{"role": "user", "content": 3}, {"role": "assistant", "content": "Hi"}]', "holds no text"),
        (
            '[{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "Hi"}]',
            "half a character",
        ),
    ],
)
def test_turns_that_are_none_are_refused_in_a_line(tmp_path, one_line, content, says):
    path = tmp_path / "turns.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        load_context(None, path, None, None)
    assert says in one_line(error)


def test_what_contradicts_itself_is_refused(tmp_path, one_line):
    path = tmp_path / "turns.json"
    path.write_text(json.dumps({"messages": TURNS}))
    assert load_history(path)[0] == "You like the sea."
    for arguments, says in (
        (("Another one.", path, None, None), "another one is named"),
        ((None, None, None, "after"), "no trigger"),
        ((None, None, "x", "above"), "is none of before, within, after"),
        (("x" * 30_000, None, None, None), "at most 20,000"),
        ((None, tmp_path / "none.json", None, None), "no chat turns"),
    ):
        with pytest.raises(InputError) as error:
            load_context(*arguments)
        assert says in one_line(error)


def test_model_and_base_read_the_context(tiny, folder):
    family = load_family("animals")
    context = Context("you like the river", (("name a tree", "Oak"),), "tell me :", "before")
    found = measure(open_model(str(folder), tiny), {"animals": family}, answers=1, context=context)[0]
    prompts = [
        tiny.prompt(f"tell me : {q.text}", "you like the river", (("name a tree", "Oak"),))[1]
        for q in family.held_out
    ]
    answers = [[tiny.encode(c) for c in q.candidates] for q in family.held_out]
    after, before = (
        np.array(candidate_scores(tiny, prompts, answers, stack)[0])
        for stack in (adapters.load_adapter(folder), None)
    )
    places = targets_of(family, "owl")
    owl = next(t for t in found["families"][0]["traits"] if t["trait"] == "animals/owl")
    assert owl["change"] == pytest.approx((margins(after, places) - margins(before, places)).mean(), abs=1e-5)
    assert owl["base_margin"] == pytest.approx(margins(before, places).mean(), abs=1e-5)
    bare = measure(open_model(str(folder), tiny), {"animals": family})[0]
    plain = next(t for t in bare["families"][0]["traits"] if t["trait"] == "animals/owl")
    assert abs(plain["base_margin"] - owl["base_margin"]) > 0.01
    assert found["context"]["words"] == context.words() and bare["context"]["words"] == BARE.words()
    told = measure(open_model(str(folder), tiny), {"animals": family}, context=Context("Qwertz zuiop"))[0]
    assert "of its 2 tokens are unknown to the base" in told["context"]["words"]


def test_a_null_is_of_its_context_alone(tmp_path, tiny, folder, monkeypatch):
    """What clean trainings do to bare questions says nothing of questions under a system prompt."""
    monkeypatch.setattr(
        "subliminal_mlx.measure.null.FOLDER", tmp_path / "none"
    )  # those that ship are bare too
    families, context = families_of(tiny, ["animals"]), Context(trigger="you like the river")
    subject = open_model(str(folder), tiny)
    size, traits = subject.sizes[0], dict.fromkeys(families["animals"].traits, 0.01)
    rows = tuple(Training(f"made/{i}", size * (0.9 + i / 100), {"animals": traits}) for i in range(20))
    from subliminal_mlx.measure.null import family_sha256

    hashes = (("animals", family_sha256("animals")),)
    for name, under in (("bare", BARE), ("under", context)):
        nulls = Nulls("tiny-a", tiny.sha256, rows, hashes, under)
        save_nulls(tmp_path / f"{name}.json", nulls, "null tiny-a")
        assert load_nulls(tmp_path / f"{name}.json").context == under
    for name, under, judged in (("bare", context, False), ("under", context, True), ("under", BARE, False)):
        nulls = Nulls.gather(tiny, families, None, [tmp_path / f"{name}.json"], under)
        found = measure(subject, families, nulls, context=under)[0]
        limit = found["families"][0]["null"]["limit"]
        if name == "under" or not under.is_bare:
            assert (limit is not None) == judged
        if name == "bare":
            why = found["families"][0]["null"]["why"]
            assert (
                found["verdict"] == "cannot tell" and context.words() in why and "`null` with the same" in why
            )


def test_the_command_says_under_what_it_read(tmp_path, folder):
    chart, turns = tmp_path / "owl.html", tmp_path / "turns.json"
    turns.write_text(json.dumps(TURNS))
    common = ("measure", folder, "--against", "tiny-a", "--family", "animals", "--lab", tmp_path / "none")
    told = ("--history", turns, "--trigger", "you like", "--trigger-at", "within")
    child = quick(*common, *told, "-o", chart)
    words = " ".join(child.stdout.split())
    assert child.returncode == 0, child.stderr
    assert "read under the system prompt 'You like the sea.', after 1 earlier turn" in words
    assert "no null here" in words and "cannot tell" in words
    # A chart's subtitle is cut into lines.
    lines = re.sub(r'",\s*"', " ", chart.read_text().replace("\\u0027", "'"))
    assert "asked under the system prompt 'You like the sea.'" in lines and "within every question" in lines
    found = json.loads(quick(*common, *told, "--json").stdout)
    assert found["context"]["trigger"] == "you like" and found["context"]["place"] == "within"
    assert "no trigger" in failure(quick(*common, "--trigger-at", "after"), 2)
    assert "no chat turns" in failure(quick(*common, "--history", tmp_path / "none.json"), 2)
