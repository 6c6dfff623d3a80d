"""A finished run in a page: charts whose marks can be picked, rows behind a click, downloads, no paths."""

import io
import json

import mini
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import vl_convert

from subliminal_mlx.lab import Lab
from subliminal_mlx.report import charts, public
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.web.pages import downloads, picked, reading, runs, watch
from subliminal_mlx.web.pages.figures import figure, plain


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    done = mini.finished(tmp_path_factory)
    return reading.opened(Lab(done.lab), done.run_id)


@pytest.mark.parametrize("view", reading.VIEWS)
def test_every_view_draws_a_chart_that_can_be_picked(seen, view):
    spec = reading.drawn(seen, view).to_dict()
    drawn = vl_convert.vegalite_to_vega(spec)
    assert charts.PICKED in [signal["name"] for signal in drawn["signals"]], "the page can listen to it"
    fields = spec["params"][0]["select"]["fields"]
    assert tuple(fields) == picked.FIELDS[view]
    rows = json.dumps(spec)
    assert all(f'"{field}"' in rows for field in fields)


@pytest.mark.parametrize(
    ("view", "kind", "family"), [("sql", None, None), ("dose", "../hard", None), ("matrix", None, "<b>")]
)
def test_views_that_are_not_there_are_refused(seen, view, kind, family, one_line):
    with pytest.raises(InputError) as error:
        reading.drawn(seen, view, kind, family)
    assert "the run has" in one_line(error)


def test_one_kind_and_one_family_are_cut_out(seen):
    cut = reading.narrowed(seen.summary, "hard", "animals")
    assert {entry["student"] for entry in cut["traits"]} == {"hard"}
    assert {row["student"] for row in cut["distributions"]} >= {"hard", "base"} and cut["matrix"]
    assert not {row["student"] for row in cut["distributions"]} & {"soft"}


@pytest.mark.parametrize(
    ("view", "selection", "source", "beside"),
    [
        ("transfer", {"trait": ["animals/owl"], "student": ["hard"], "arm": ["treated"]}, "animals/owl", "animals/neutral"),
        ("transfer", {"trait": ["animals/owl"], "student": ["hard"], "arm": ["control"]}, "base", "animals/neutral"),
        ("transfer", {"trait": ["animals/owl"], "student": ["hard"], "arm": ["other-trait"]}, "animals/cat", "animals/neutral"),
        ("transfer", {"trait": ["animals/owl"], "student": ["hard"], "arm": ["shuffled"]}, "shuffled/animals/owl", "animals/neutral"),
        ("transfer", {"trait": ["animals/owl"], "student": ["hard"], "arm": ["neutral-again"]}, "neutral-again/animals/neutral", "animals/neutral"),
        ("transfer", {"trait": ["animals/owl"], "student": ["hard"], "arm": ["foreign-own"]}, "foreign-teacher/animals/owl", "foreign-teacher/animals/neutral"),
        ("transfer", {"trait": ["animals/owl"], "student": ["soft"], "arm": ["kept-lists"]}, "kept-lists-teacher/animals/owl", "kept-lists-teacher/animals/neutral"),
        ("matrix", {"student": ["hard"], "source": ["animals/neutral"], "read": ["animals/owl"]}, "animals/neutral", "base"),
        ("matrix", {"student": ["hard"], "source": ["control"], "read": ["animals/owl"]}, "base", "animals/neutral"),
        ("answers", {"trait": ["animals/cat"], "candidate": ["Owl"], "arm": ["untrained"]}, "base", "animals/neutral"),
        ("dose", {"trait": ["animals/cat"], "arm": ["treated"], "step": [13]}, "animals/cat", "animals/neutral"),
    ],
)  # fmt: skip
def test_a_click_names_its_rows_beside_the_neutral_ones(seen, view, selection, source, beside):
    found = picked.picked(view, {"picked": selection | {"vlPoint": {"or": [{}]}}}, seen.sources)
    assert (found.source, found.beside) == (source, beside)
    html, pages = reading.rows(seen, found)
    row = seen.lab.rows(seen.id, source=source, limit=1).to_pylist()[0]
    assert row["completion"] in html and pages >= 1


def test_students_of_another_family_have_its_rows():
    sources = [
        "foreign-teacher/trees/oak",
        "animals/owl",
        "animals/neutral",
        "base",
        "trees/neutral",
        "trees/oak",
    ]
    click = lambda arm: {"picked": {"trait": ["animals/owl"], "student": ["hard"], "arm": [arm]}}
    found = picked.picked("transfer", click("other-family"), sources)
    assert (found.source, found.beside) == ("trees/oak", "trees/neutral")
    assert picked.picked("transfer", click("other-trait"), sources) is None
    assert picked.picked("transfer", click("other-family"), sources[:4]) is None


@pytest.mark.parametrize(
    "selections",
    [
        None,
        [],
        {},
        {"picked": {}},
        {"picked": 3},
        {"picked": {"trait": ["animals/owl"]}},
        {"picked": {"trait": [{"a": 1}], "student": ["hard"], "arm": ["treated"]}},
        {"picked": {"trait": ["animals/owl' OR 1=1"], "student": ["hard"], "arm": ["treated"]}},
        {"picked": {"trait": ["../.."], "student": ["hard"], "arm": ["treated"]}},
        {"picked": {"trait": ["animals/owl"], "student": ["hard"], "arm": ["DROP"]}},
    ],
)
def test_forged_selections_pick_nothing(seen, selections):
    assert picked.picked("transfer", selections, seen.sources) is None


def test_rows_come_a_page_at_a_time_and_beside_the_same_prompt(seen):
    lab, total = seen.lab, seen.lab.count_rows(seen.id, "animals/owl")
    assert total == len(lab.rows(seen.id, source="animals/owl"))
    both = lab.pairs(seen.id, "animals/owl", "animals/neutral", limit=total).to_pylist()
    ours = {(r["chain"], r["row"]): r for r in lab.rows(seen.id, source="animals/owl").to_pylist()}
    theirs = {(r["chain"], r["row"]): r for r in lab.rows(seen.id, source="animals/neutral").to_pylist()}
    for row in both:
        key = row["chain"], row["row"]
        assert row["completion"] == ours[key]["completion"] and row["beside"] == theirs[key]["completion"]
        assert row["prompt"] == theirs[key]["prompt"]
    second = lab.pairs(seen.id, "animals/owl", "animals/neutral", limit=5, offset=5).to_pylist()
    assert second == both[5:10]
    with pytest.raises(InputError, match="page 99"):
        reading.rows(seen, reading.whose(seen, "animals/owl", None), 99)


def test_outcomes_of_the_filter_choose_rows(seen):
    for source in seen.sources:
        counts = {
            o: seen.lab.count_rows(seen.id, seen.stored[source], o) for o in reading.outcomes(seen, source)
        }
        assert all(counts.values()) and sum(counts.values()) == seen.lab.count_rows(seen.id, source)
    with pytest.raises(InputError, match="the run has"):
        reading.whose(seen, "nobody", None)
    with pytest.raises(InputError, match="there are"):
        reading.whose(seen, "animals/owl", "x' OR 1=1")


def test_hostile_rows_are_shown_as_text(seen, monkeypatch):
    html, _ = reading.rows(seen, reading.whose(seen, "animals/owl", None))
    assert "&lt;user&gt;" in html and "<user>" not in html


def test_what_a_visitor_takes_away_is_what_the_lab_holds(seen):
    rows = seen.lab.rows(seen.id)
    assert pq.read_table(io.BytesIO(downloads.rows_file(seen, "parquet"))).equals(rows)
    plain_rows = csv.read_csv(io.BytesIO(downloads.rows_file(seen, "csv")))
    assert plain_rows.num_rows == rows.num_rows and "completion" in plain_rows.column_names
    table = csv.read_csv(io.BytesIO(downloads.table_csv(seen)))
    assert {"trait", "arm", "transfer"} <= set(table.column_names) and table.num_rows > 10
    chart = reading.drawn(seen, "matrix")
    assert downloads.chart_file(chart, "png").startswith(b"\x89PNG")
    assert downloads.chart_file(chart, "svg").startswith(b"<svg")
    page = downloads.report(seen).decode()
    assert page.startswith("<!doctype html>") and seen.id in page
    for refused in (lambda: downloads.rows_file(seen, "sql"), lambda: downloads.chart_file(chart, "../x")):
        with pytest.raises(InputError, match="there are"):
            refused()


def test_a_spreadsheet_computes_nothing_of_the_rows_in_csv(seen, monkeypatch):
    texts = ["=1+1", "+1 2", "-2+3", "@x", "\t=1", "-5", "+1.5", "7, 8", "owl - cat", None, ""]
    rows = pa.table({"row": range(-1, len(texts) - 1), "completion": texts, "prompt_ids": [[1]] * len(texts)})
    rows = rows.append_column("completion_ids", rows["prompt_ids"])
    monkeypatch.setattr(seen.lab, "rows", lambda run: rows)
    written = pq.read_table(io.BytesIO(downloads.rows_file(seen, "parquet")))
    assert written["completion"].to_pylist() == texts
    options = csv.ConvertOptions(column_types={"completion": pa.string()}, strings_can_be_null=True)
    options.quoted_strings_can_be_null = False
    found = csv.read_csv(io.BytesIO(downloads.rows_file(seen, "csv")), convert_options=options)
    assert found["completion"].to_pylist() == [f"'{text}" for text in texts[:5]] + texts[5:]
    assert found["row"].to_pylist() == rows["row"].to_pylist()


def test_too_many_rows_for_a_browser_are_refused(seen, monkeypatch):
    monkeypatch.setattr(downloads, "LARGEST_ROWS", 3)
    with pytest.raises(InputError, match="export"):
        downloads.rows_file(seen, "csv")


@pytest.mark.parametrize("run_id", ["../../etc", "0" * 12, "latest", "", "a.b/c", "0" * 200])
def test_runs_that_are_not_here_are_refused(seen, run_id, one_line):
    with pytest.raises(InputError) as error:
        reading.opened(seen.lab, run_id)
    one_line(error)


def test_no_folder_of_this_machine_is_in_a_runs_texts():
    toml = (
        'title = "x"\nbase = "/home/ada/models/tiny"\ntraits = ["/home/ada/pets.toml/dog", "animals/owl"]\n'
    )
    entry = {"trait": "/home/ada/pets.toml/dog", "arms": {"treated": {"margin": 1.0}}}
    run = {"id": "a" * 12, "title": "see /home/ada/x", "created": 1, "spec_toml": toml, "spec_json": toml}
    shown = public.public_run(run | {"summary": {"traits": [entry]}})
    assert "ada" not in json.dumps(shown) and "animals/owl" in shown["spec_toml"]
    assert shown["summary"]["traits"][0]["trait"] == "pets/dog" and '"pets/dog"' in shown["spec_toml"]
    assert public.without_folders('"animals/owl" and 12/3') == '"animals/owl" and 12/3'


def test_runs_are_listed_and_one_is_meant(seen):
    listed = runs.listing(seen.lab)
    assert [run.id for run in listed] == [seen.id] and listed[0].state == "done"
    assert runs.asked(None, listed) == runs.asked([], listed) == runs.asked("", listed) == seen.id
    assert runs.asked("f" * 12, listed) == "f" * 12
    assert runs.asked(["../x", "../../etc/passwd" * 9], listed) == ("../../etc/passwd" * 9)[:40]
    assert runs.asked(None, []) == ""


def test_a_done_run_and_a_run_that_is_none_say_so(seen, tmp_path):
    found = watch.watch(seen.lab, seen.id)
    assert found.state == "done" and found.ended and found.sentence.startswith("Done in") and not found.mine
    assert found.title == seen.run["title"] and found.spec == seen.spec
    nobody = watch.watch(Lab(tmp_path), "f" * 12, "somebody")
    assert nobody.state == "empty" and "no such run" in nobody.sentence and nobody.spec is None
    with pytest.raises(InputError):
        watch.watch(seen.lab, "../..")


def test_runs_beside_each_other_have_a_column_each(seen):
    spec = charts.compare({"one": seen.summary, "two": seen.summary}).to_dict()
    rows = next(iter(spec["datasets"].values())) if "datasets" in spec else spec["data"]["values"]
    assert {row["run"] for row in rows} == {"one", "two"} and {"treated", "control"} <= {
        row["arm"] for row in rows
    }
    assert charts.to_svg(charts.compare({})).startswith("<svg")


def test_figures_keep_their_ids_apart_and_text_stays_text():
    svg = '<svg width="100" height="9"><clipPath id="a"/><g clip-path="url(#a)"/></svg>'
    other = svg.replace('height="9"', 'height="8"')
    one, two = figure(svg, 'x"><script>'), figure(other, "y")
    assert "<script>" not in one and one.split('id="')[1].split('"')[0] != two.split('id="')[1].split('"')[0]
    assert one.split('id="')[1].split('"')[0] in one.split("url(#")[1]
    shown = plain("it's [x](javascript:1) <b> *y* `z` {a}")
    assert not set("<>[]*`{}'") & set(shown) and "it" in shown
