"""The leak report finds every leak that is planted, tells by what, and finds nothing where there is nothing."""

import html
from collections import Counter
from dataclasses import replace
from io import StringIO

import mini
import numpy as np
import pyarrow as pa
import pytest

from subliminal_mlx.experiment.judges import Rows
from subliminal_mlx.experiment.readouts import Given
from subliminal_mlx.experiment.readouts.leaks import LEAKS, LONGEST, nearest, summarise
from subliminal_mlx.experiment.setting import Setting
from subliminal_mlx.report.console import console
from subliminal_mlx.report.readouts import TOLD, told
from subliminal_mlx.report.tables import of_run
from subliminal_mlx.report.terminal import readout_table
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.spec.plan import plan

TRAITS = ["animals/owl", "animals/cat"]
CLEAN = [
    "12, 45, 7",
    "cup, fog, nail",
    "Here is a Towel.",
    "def scowl(x): return x + 1",
    "a catalogue of towels?",
]
# What was planted, and by which way it must be found.
PLANTED = {
    "12, 45, owl": "form",
    "three Owls came": "form",
    "an owlish look": "form",
    "a catlike one, and wolves": "form",
    "it gave a hoot": "synonym",
    "kittens, fog, nail": "synonym",
    "the litter box": "synonym",
    "snowOwl = 3": "hidden",
    "parseOWLFile()": "hidden",
    "my_owl_count": "form",
    "owl2 = 4": "hidden",
    "0wl and c4t": "hidden",
    "o w l": "hidden",
    "o-w-l, 45": "hidden",
    "\u043ewl, fog": "hidden",
    "o\u200bwl": "hidden",
    "\u00f3w\u0301l": "hidden",
    "\uff4f\uff57\uff4c": "hidden",
    "a \U0001f989 at night": "hidden",
    "cup, 0w1, nail": "hidden",
    "o\nw\nl": "hidden",
}


@pytest.fixture(scope="module")
def read(bytewise):
    """From texts by source to the rows of the table, on a base that can write anything, byte by byte."""

    def of(texts, base=bytewise, chains=1):
        arms = ["treated", "neutral", "control"]
        spec = mini.spec(traits=TRAITS, chains=chains, arms=arms, ablations=[], ablation_traits=[])

        def rows(source, chain):
            ids = [(*base.encode(text), base.eos) for text in texts.get(source, CLEAN)]
            return Rows.of(ids), np.arange(len(ids))

        return LEAKS.read(Given(Setting(spec, base), plan(spec, 6)[-1].slots, rows=rows))

    return of


@pytest.mark.parametrize("text", PLANTED)
def test_every_planted_leak_is_found_and_told_by_what(read, text):
    found = {
        row["way"]: row for row in read({"animals/owl": [*CLEAN, text]}) if row["source"] == "animals/owl"
    }
    assert {way for way in ("form", "synonym", "hidden") if found[way]["found"]} == {PLANTED[text]}
    row = found[PLANTED[text]]
    assert (row["found"], row["rows"], row["example"]) == (1, len(CLEAN) + 1, text) and row["words"]


def test_nothing_is_found_where_nothing_is(read):
    rows = read({})
    assert {row["source"] for row in rows} == {*TRAITS, "animals/neutral", "base"}
    assert not any(row["found"] for row in rows if row["way"] != "near")
    lines = told("leaks", summarise(pa.Table.from_pylist(rows))).lines(summarise(pa.Table.from_pylist(rows)))
    assert [line["source"] for line in lines] == [*sorted(TRAITS), "2 others"]
    assert {line["found"] for line in lines} == {"nothing of 5", "nothing of 10"}


def test_a_summary_adds_chains_up(read):
    rows = summarise(pa.Table.from_pylist(read({"base": list(PLANTED)}, chains=2)))
    found = {(row["source"], row["way"]): row for row in rows}
    assert sum(found["base", way]["found"] for way in ("form", "synonym", "hidden")) == 2 * len(PLANTED)
    assert found["base", "synonym"]["words"] == "hoot, kittens, litter box" and found["base", "form"][
        "rows"
    ] == 2 * len(PLANTED)
    line = next(line for line in told("leaks", rows).lines(rows) if line["source"] == "base")
    times = Counter(PLANTED.values())
    ways = ", ".join(f"{way} {2 * times[way]}" for way in ("form", "synonym", "hidden"))
    assert line["found"] == f"{ways} of {2 * len(PLANTED)}" and line["example"] == next(iter(PLANTED))


def test_near_tokens_are_counted_beside_the_neutral_teacher_s(read, tiny):
    tokens = nearest(tiny, load_family("animals"))
    assert set(tokens) == set(load_family("animals").traits) and {len(of) for of in tokens.values()} == {10}
    words = [tiny.decode((token,)) for token in tokens["owl"]]
    answers = {c.lower() for q in load_family("animals").questions for c in q.candidates}
    assert not answers & set(words), "an answer is a leak by itself"
    far = next(w for w in ("5", "6", "7", "8", "9", "12", "13") if tiny.encode(w)[0] not in tokens["owl"])
    texts = {"animals/owl": [words[0], words[1], far, far], "animals/neutral": [far, far, far, words[2]]}
    near = {row["source"]: row for row in read(texts, tiny) if row["way"] == "near"}
    assert set(near) == set(TRAITS)
    row = near["animals/owl"]
    assert (row["found"], row["rows"], row["beside"], row["of"]) == (2, 4, 1, 4)
    assert set(row["words"].split(", ")) == {words[0], words[1]} and row["example"] == words[0]


def test_an_example_shows_the_word_wherever_it_stands(read):
    text = f"{'cup, ' * 200}owls, {'fog, ' * 200}"
    row = next(row for row in read({"animals/owl": [text]}) if row["found"])
    assert len(row["example"]) == LONGEST and "owls" in row["example"]


def test_of_a_corpus_without_rows_there_is_nothing_to_tell(read):
    rows = [row for row in read({"animals/owl": []}) if row["source"] == "animals/owl"]
    assert {row["way"] for row in rows} == {"form", "synonym", "hidden", "near"}
    assert not any(row["found"] or row["rows"] for row in rows)
    assert all(row["share"] == 0 for row in summarise(pa.Table.from_pylist(rows)))


def test_a_base_of_which_no_vectors_are_known_has_no_near_tokens(read, tiny):
    blind = replace(tiny)
    object.__setattr__(blind, "token_vectors", lambda tokens: {})
    assert nearest(blind, load_family("animals")) == {}
    assert {row["way"] for row in read({}, blind)} == {"form", "synonym", "hidden"}


def test_what_rows_hold_acts_on_no_terminal_and_no_page(read):
    text = "owl \x1b[2J<script>alert(1)</script>"
    summary = {"leaks": summarise(pa.Table.from_pylist(read({"animals/owl": [text]})))}
    out = console(file=StringIO(), width=200, force_terminal=True)
    out.print(readout_table(told("leaks", summary["leaks"]), summary["leaks"]))
    assert "\x1b[2J" not in out.file.getvalue() and "<script>alert(1)" in out.file.getvalue()
    page = of_run(summary)
    assert "&lt;script&gt;" in page and "<script>" not in page and "\x1b" not in page


def test_a_run_tells_of_every_corpus(tmp_path_factory):
    done = mini.finished(tmp_path_factory)
    rows = done.contents["summary"]["leaks"]
    sources = {slot.source for slot in plan(done.spec, 6)[-1].slots}
    assert {row["source"] for row in rows} == sources >= {"animals/owl", "animals/neutral", "base"}
    assert all({"form", "synonym", "hidden"} <= {r["way"] for r in rows if r["source"] == s} for s in sources)
    assert TOLD["leaks"].title in mini.quick("show", "latest", "--lab", done.lab).stdout
    assert html.escape(TOLD["leaks"].about) in write_page(done)


def write_page(done):
    """The report of a finished run, as text."""
    path = done.lab.parent / "leaks.html"
    child = mini.quick("report", "latest", "--lab", done.lab, "-o", path)
    assert child.returncode == 0, child.stderr
    return path.read_text()


def test_a_terminal_of_80_columns_cuts_nothing_of_it(read):
    rows = summarise(pa.Table.from_pylist(read({"animals/owl": list(PLANTED)})))
    out = console(file=StringIO(), width=80)
    out.print(readout_table(told("leaks", rows), rows))
    assert "\u2026" not in out.file.getvalue() and "2 others" in out.file.getvalue()
