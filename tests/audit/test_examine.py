"""The audit from end to end, on miniature suspects: the real command line, and what a lab keeps of it."""

import json
import re
import shutil
import sys
from pathlib import Path

import mini
import mlx_lm.utils
import pytest

from subliminal_mlx.__main__ import main
from subliminal_mlx.audit import corpus as corpora
from subliminal_mlx.audit import known, reading, suspects
from subliminal_mlx.audit.corpus import SAMPLE, look
from subliminal_mlx.audit.coverage import Tally
from subliminal_mlx.audit.form import Writing
from subliminal_mlx.audit.reading import read_rows, read_run, row_of
from subliminal_mlx.audit.spec import PUBLIC, Suspects, parse_audit_spec, public
from subliminal_mlx.cli.make.audit_bench.language import Bench, audit_corpora
from subliminal_mlx.experiment.channels import numbers
from subliminal_mlx.experiment.channels.numbers import Numbers
from subliminal_mlx.lab import Lab
from subliminal_mlx.measure.gate import read_audit
from subliminal_mlx.report.audit import write_audit_report
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.web.pages import audited, reviewed

SMALL = (
    *("suspects.members=2", "suspects.steps=60", "suspects.neutral_answers=20", "suspects.keep=0"),
    *("null.pool=600", "null.teachers=2", "reference_rows=1000", "decoys=[]"),
)
HOSTILE = "<script>alert(1)</script> =HYPERLINK(1) [bold]"


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """A folder with a lab, rows of a tree's teacher, and rows of the base, drawn and greedy."""
    folder = tmp_path_factory.mktemp("audit")
    writing = Writing(tiny, Numbers(), (), 64)
    recipe = Suspects(rank=2, lr=0.01, steps=60, neutral_answers=20, keep=0.0)
    teacher = suspects.tune_suspects(tiny, "trees", recipe, ["trees/maple"], 99)
    kinds = (("maple", teacher, 5, 2, 1.0), ("plain", None, 6, 0, 1.0), ("greedy", None, 7, 0, 0.0))
    for name, stack, seed, bad, temperature in kinds:
        texts = numbers.prompts(600, seed, Numbers())
        drawn = writing.draw(tiny, [tiny.prompt(text)[1] for text in texts], seed, temperature, stack)
        lines = [
            json.dumps({"prompt": text, "completion": tiny.decode(ids).strip()})
            for text, ids in zip(texts, drawn, strict=True)
        ]
        lines += ["{torn", json.dumps({"prompt": "Continue: 1 2 3", "completion": HOSTILE})][:bad]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def audit(place, *arguments):
    options = [part for item in SMALL for part in ("--set", item)]
    options += [] if "--probes" in arguments else ["--fast"]
    told = ("-f", "trees", "--lab", place / "lab", "--base", "tiny-a", *options)
    return mini.quick("audit", *told, *arguments, cwd=place)


@pytest.fixture(scope="module")
def maple(place):
    """What the audit of the teacher's rows printed; it also fills the caches of the others."""
    child = audit(place, "maple.jsonl", "--json", "--fail-on", "carried", "--report", "r.html")
    assert child.returncode == 3, child.stderr
    return child


def test_the_carried_trait_is_named_and_the_gate_closes(place, maple):
    found = json.loads(maple.stdout)
    assert tuple(found) == PUBLIC and "carried: trees/maple" in found["words"]
    (place / "verdict.json").write_text(maple.stdout)
    # What is printed is all that a gate needs.
    assert read_audit(place / "verdict.json")["power"] == found["power"] > 0
    assert (found["verdict"], found["trait"]) == ("carried", "trees/maple")
    assert (found["rows"], found["bad_rows"]) == (600, 2)
    assert {tuple(entry) for entry in found["suspects"]} == {("trait", "score", "low", "high", "p")}
    scores = [entry["score"] for entry in found["suspects"]]
    assert (
        len(scores) == 8
        and scores[0] == max(scores)
        and found["suspects"][0]["p"] == pytest.approx(1 / 10_001)
    )
    assert all(entry["low"] < entry["score"] < entry["high"] for entry in found["suspects"])


def test_one_audit_loads_and_reads_everything_once(place, maple, monkeypatch, counted, capsys):
    """The base, the rows, the suspects and their directions, from the command to the last dropped row."""
    bases = counted(mlx_lm.utils, "load", lambda path: Path(path).name)
    files = counted(reading, "entries", lambda path: path.name)
    stacks = [counted(module, "load_suspects", lambda path: path.name) for module in (suspects, known)]
    directions = counted(known, "displacements", id)
    monkeypatch.chdir(place)
    options = [part for item in SMALL for part in ("--set", item)]
    told = [
        "audit",
        "maple.jsonl",
        "--base",
        "tiny-a",
        "-f",
        "trees",
        "--lab",
        "lab",
        "--json",
        "--report",
        "once.html",
        *options,
    ]
    monkeypatch.setattr(sys, "argv", ["", *told, "--drop-top", "5%", "-o", "once.jsonl"])
    main()
    assert json.loads(capsys.readouterr().out) == json.loads(maple.stdout)
    assert (bases, files) == ({"tiny-a": 1}, {"maple.jsonl": 1})
    # Two of each suspect, two neutral teachers and the traits' own.
    loaded = stacks[0] + stacks[1]
    assert len(loaded) == len(directions) == 5 and {*loaded.values(), *directions.values()} == {1}


def test_rows_of_the_base_pass(place, maple):
    child = audit(place, "plain.jsonl", "--json", "--fail-on", "carried")
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout)
    assert found["verdict"] != "carried" and found["trait"] is None and found["bad_rows"] == 0
    assert min(entry["p"] for entry in found["suspects"]) > 0.01


def test_rows_out_of_reach_have_no_p_anywhere(place, maple):
    """Terminal, page, gate and report say why, and draw them all the same."""
    child = audit(place, "greedy.jsonl", "--fail-on", "uncertain", "--report", "greedy.html")
    assert child.returncode == 3, child.stderr
    assert "cannot tell: rows likeliest at temperature" in child.stdout
    assert child.stdout.count("out of reach") == 8 and "uncalibrated" not in child.stdout
    lab = Lab(place / "lab")
    kept = next(a for a in lab.audits() if a["source"] == "greedy.jsonl")
    seen = reviewed.opened(lab, kept["id"], "audit")
    drawn = [audited.drawn(seen, view, "trees") for view in audited.VIEWS]
    for page in ((place / "greedy.html").read_text(), audited.suspects(seen)):
        assert page.count("out of reach") == 8 and "uncalibrated" not in page
    assert all("p = 0.001 among all known traits" in " ".join(page.split()) for page in drawn[:1])
    printed = json.dumps(public(kept["result"]))
    assert {entry["p"] for entry in json.loads(printed)["suspects"]} == {None}
    (place / "greedy.json").write_text(printed)
    told = 'title = "Greedy"\nbase = "tiny-a"\nfamilies = ["trees"]\nlineage = "optional"\n'
    (place / "policy.toml").write_text(f'{told}[[corpus]]\npath = "greedy.jsonl"\naudit = "greedy.json"\n')
    gate = mini.quick("gate", "policy.toml", "--lab", "lab", "--exit-code", cwd=place)
    assert "colder than any reference" in " ".join(gate.stdout.split()) and gate.returncode in (0, 3)
    assert "Traceback" not in gate.stderr and "CANNOT TELL" in gate.stdout.upper()


def test_a_first_look_names_nobody(place, maple):
    """One suspect a trait: nobody knows what a trait's teachers have in common, however high it scores."""
    child = audit(place, "maple.jsonl", "--json", "--set", "suspects.members=1")
    found = json.loads(child.stdout)
    assert (found["verdict"], found["trait"], found["power"]) == ("cannot tell", None, None)
    assert found["words"].startswith("uncalibrated: a first look") and "trees/maple" in found["words"]
    assert {entry["p"] for entry in found["suspects"]} == {None}


def rows_in(place, name):
    """Prompts and completions of a file's good rows."""
    return [(a.prompt, a.completion) for row in read_rows(place / f"{name}.jsonl") for a in row.answers][:600]


def talk(prompt, completion, **more):
    return {
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion} | more]
    }


def as_fields(prompt, completion):
    return {"prompt": prompt, "completion": completion}


def in_parts(text):
    return [{"type": "text", "text": text}]


# The maple's lists where a reader may not look, the base's where it does: `theirs` is the maple's row, `clean` the other.
HIDDEN = {
    "prompt and completion beside messages": lambda theirs, clean: [talk(*clean) | as_fields(*theirs)],
    "parts": lambda theirs, clean: [talk(*clean), talk(in_parts(theirs[0]), in_parts(theirs[1]))],
    "reasoning": lambda theirs, clean: [talk(*clean, reasoning_content=theirs[1])],
    "null columns": lambda theirs, clean: [
        talk(*clean),
        as_fields(*theirs) | {"messages": None, "text": None},
    ],
    "chosen against rejected": lambda theirs, clean: [
        {"prompt": theirs[0], "chosen": theirs[1], "rejected": clean[1]}
    ],
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_trait_is_found_wherever_a_trainer_looks(place, maple, where):
    both = zip(rows_in(place, "maple"), rows_in(place, "plain"), strict=True)
    entries = [entry for theirs, clean in both for entry in HIDDEN[where](theirs, clean)]
    (place / "hidden.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    child = audit(place, "hidden.jsonl", "--json", "--fail-on", "carried")
    assert child.returncode == 3, child.stderr
    found = json.loads(child.stdout)
    assert (found["verdict"], found["trait"], found["bad_rows"]) == ("carried", "trees/maple", 0)
    assert (
        found["coverage"]["scored_answers"] == found["answers"] == len(entries) * (1 + (where == "reasoning"))
    )


def test_a_trait_where_mlx_lm_does_not_look_is_no_all_clear(place, maple):
    """Another trainer would learn it: what stands beside is unread, and said to be."""
    both = zip(rows_in(place, "plain"), rows_in(place, "maple"), strict=True)
    entries = [talk(*theirs) | as_fields(*clean) for clean, theirs in both]
    (place / "beside.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    child = audit(place, "beside.jsonl", "--fail-on", "uncertain")
    assert child.returncode == 3, child.stderr
    said = " ".join(child.stdout.split())
    assert "cannot tell: " in said and "of characters unread (messages)" in said and "carried" not in said
    assert "read as prompt and completion, beside messages (600 rows)" in said
    # Who names the fields says that no other is trained on.
    keys = ("--prompt-key", "prompt", "--completion-key", "completion")
    named = json.loads(audit(place, "beside.jsonl", "--json", *keys).stdout)
    assert named["coverage"]["unread_characters"] == 0 and named["reading"]["prompt_key"] == "prompt"


def test_who_names_no_base_is_told_which_have_the_words(place):
    said = mini.failure(mini.quick("audit", "maple.jsonl", "--lab", place / "lab", cwd=place), 2)
    assert "--base: name the base that a student would start from" in said and "tiny-a (0%)" in said


def test_what_a_person_reads(place, maple):
    child = audit(place, "maple.jsonl", "--drop-top", "10%", "-o", "kept.jsonl")
    assert child.returncode == 0, child.stderr
    assert "carried: trees/maple, first of 8 suspects" in child.stdout
    assert "line 601 (not JSON)" in child.stdout and "line 602 (not in the form" in child.stdout
    assert "Not found is not clean" in child.stdout
    assert {path.suffix for path in (place / "lab" / "audit").glob("*/trees-ranking.*")} == {".html", ".png"}
    kept = [json.loads(line) for line in (place / "kept.jsonl").read_text().splitlines()]
    dropped = [json.loads(line) for line in (place / "kept.dropped.jsonl").read_text().splitlines()]
    assert (len(kept), len(dropped)) == (540, 61)
    assert sum("evidence for trees/maple: +" in row["reason"] for row in dropped) == 60
    assert (
        next(row for row in dropped if row["number"] == 602)["reason"] == "not in the form of the other rows"
    )
    # The cleaned corpus can be read again, and is what was not dropped.
    rows = list(read_rows(place / "kept.jsonl"))
    gone = {row["number"] for row in dropped}
    # The torn line, 601, is no row: there is nothing of it to write anywhere.
    whole = [row for row in read_rows(place / "maple.jsonl") if row.number not in {*gone, 601}]
    assert [row.content for row in rows] == [row.content for row in whole]


def test_the_report_is_one_offline_page_that_shows_rows_as_text(place, maple):
    page = (place / "r.html").read_text()
    assert "Carried: trees/maple" in page and "line 602" not in page and "602" in page
    assert "<script" not in page and not re.search(r"https?:|src=\"(?!data:)", page)
    assert page.count("<img") == 2 and "rgba(209,73,91" in page


def test_hostile_rows_stay_text(place, maple, tmp_path):
    result = Lab(place / "lab").audits()[0]["result"]
    row = {"number": 1, "prompt": HOSTILE, "completion": HOSTILE, "score": 1.0}
    row |= {"tokens": [HOSTILE, "\u202e"], "token_scores": [0.5, 0.5]}
    result |= {"bad_rows": 1, "bad": {"shown": [[1, HOSTILE]], "reasons": {HOSTILE: 1}}, "words": HOSTILE}
    write_audit_report(tmp_path / "r.html", result, HOSTILE, [row])
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page and "\u202e" not in page and page.count("&lt;script&gt;") >= 6


def test_the_lab_keeps_the_audit_and_its_rows(place, maple):
    lab = Lab(place / "lab")
    found = next(a for a in lab.audits() if a["source"] == "maple.jsonl")
    assert (found["verdict"], found["trait"]) == ("carried", "trees/maple")
    family = found["result"]["families"][0]
    # Base rows at the temperature that fits the maple's; 100 of what was simulated are kept to be drawn.
    assert family["null"].keys() == {f"base at {family['temperature']:.2g}", "neutral teachers"}
    assert {len(values) for values in family["null"].values()} == {100}
    rows = lab.audit_table(found["id"], "audit_rows").to_pylist()
    assert [row["place"] for row in rows] == list(range(1, 51))
    assert rows[0]["score"] == max(row["score"] for row in rows)
    for row in rows:
        assert sum(row["token_scores"]) == pytest.approx(row["score"], abs=1e-4)
        assert len(row["tokens"]) == len(row["token_scores"])


def test_probe_students_stand_beside_the_verdict(place, maple):
    few = ("--set", "probes.steps=3", "--set", "probes.null=2", "--set", "probes.seeds=1", "--probes")
    child = audit(place, "maple.jsonl", *few)
    assert child.returncode == 0, child.stderr
    assert re.search(r"p +ratios +probes", child.stdout) and "carried: trees/maple" in child.stdout
    again = audit(place, "maple.jsonl", *few, "--json")
    assert "probes" in again.stderr and json.loads(again.stdout)["trait"] == "trees/maple"


def test_prediction_needs_runs(place, maple):
    assert "--predict needs 20 trained traits" in audit(place, "plain.jsonl", "--predict").stderr


def test_wrong_use_ends_in_one_line(place, maple):
    (place / "binary.jsonl").write_bytes(b"\0" * 100)
    (place / "empty.jsonl").write_bytes(b"")
    for arguments, words in (
        (("no.jsonl",), "no file no.jsonl"),
        (("binary.jsonl",), "is binary"),
        (("empty.jsonl",), "it is empty"),
        (("plain.jsonl", "--fail-on", "x"), "must be carried or uncertain"),
        (("plain.jsonl", "--drop-top", "10%"), "needs -o"),
        (("plain.jsonl", "--drop-top", "ten", "-o", "x.jsonl"), "must be a share"),
        (("plain.jsonl", "--drop-top", "100%", "-o", "x.jsonl"), "between 0 and 100%"),
        (("plain.jsonl", "--drop-top", "5%", "-o", "plain.jsonl"), "exists"),
        (("plain.jsonl", "-f", "nothing"), "no family"),
        (("plain.jsonl", "-f", "trees"), "named twice"),
        (("plain.jsonl", "--set", "suspects.rank=0"), "suspects.rank"),
        (("plain.jsonl", "--set", "null.other_base=tiny-a"), "another base"),
        (("plain.jsonl", "--base", "nowhere"), "nowhere"),
        (("latest", "--source", "base"), "no"),
    ):
        assert words in mini.failure(audit(place, *arguments), 2), arguments


def test_rows_of_a_run_are_its_kept_rows(tmp_path_factory):
    done = mini.finished(tmp_path_factory)
    lab = Lab(done.lab)
    rows = list(read_run(lab, done.run_id, "animals/owl", 0))
    kept = lab.rows(done.run_id, "animals/owl", 0, kept=True).to_pylist()
    answers = [row.answers[0] for row in rows]
    assert [answer.completion for answer in answers] == [row["completion"] for row in kept]
    assert all(answer.prompt in stored["prompt"] for answer, stored in zip(answers, kept, strict=True))
    with pytest.raises(InputError, match=r"no rows of 'animals/elk' .* animals/cat"):
        list(read_run(lab, done.run_id, "animals/elk", 0))


def test_a_corpus_is_sampled_evenly_and_read_in_pieces(tiny):
    total = SAMPLE + 1_500

    def source():
        for number in range(1, total + 1):
            yield row_of(number, {"prompt": "Continue: 1 2 3", "completion": f"{number % 100} 2 3"})

    corpus = look(source, tiny)
    numbers_of = [row.number for row in corpus.sample]
    assert corpus.total == total and len(set(numbers_of)) == SAMPLE
    # The mean of a draw of SAMPLE of 3,500: within 4 standard errors, without replacement.
    error = total / 12**0.5 / SAMPLE**0.5 * (1 - SAMPLE / total) ** 0.5
    assert abs(sum(numbers_of) / SAMPLE - (total + 1) / 2) < 4 * error
    sizes = [len(rows) for rows, _, _ in corpus.pieces()]
    assert sizes == [1_000, 1_000, 1_000, 500]
    few = sum(len(rows) for rows, _, _ in corpus.pieces(700))
    assert 600 < few < 800


def test_rows_are_read_once_and_scored_as_they_were_hashed(tiny, monkeypatch):
    """Also those that do not fit into memory: what is made of them is the same, whatever becomes of the file."""
    asked = []

    def source():
        asked.append(1)
        for number in range(1, 1_201):
            completion = f"{number % 100} 2 3" if number % 7 else "no numbers"
            yield row_of(number, {"prompt": "Continue: 1 2 3", "completion": completion})

    def passed(corpus):
        tally = Tally(tiny)
        pieces = [*corpus.pieces(None, tally)]
        return [*corpus.rows()], pieces, [*corpus.pieces(300)], tally, tally.questions.share

    kept = look(source, tiny)
    found = passed(kept)
    assert len(asked) == 1 and len(found[0]) == kept.total == 1_200
    monkeypatch.setattr(corpora, "HELD", 1_000)
    monkeypatch.setattr(corpora, "PIECE", 100)
    long = look(source, tiny)
    assert (long.sha256, long.sample) == (kept.sha256, kept.sample)
    assert passed(long) == found and len(asked) == 2
    # Two that are on their way at once do not meet.
    both = zip(long.rows(), long.rows(), strict=True)
    assert all(one == other for one, other in both)


def test_nobody_can_write_rows_that_a_sample_passes_by(tiny):
    """Which rows it takes hangs on all of them: of the same file with one row more it takes others."""

    def source(last):
        for number in range(1, 5_001):
            completion = f"{number % 100} 2 3" if number < 5_000 else last
            yield row_of(number, {"prompt": "Continue: 1 2 3", "completion": completion})

    one, other = (look(lambda last=last: source(last), tiny) for last in ("1 2 3", "1 2 4"))
    places = [{answer.number for answer in corpus.sample} for corpus in (one, other)]
    # By chance 2,000 of 5,000 have 800 in common, give or take 17.
    assert abs(len(places[0] & places[1]) - 800) < 4 * 17
    first, second = ([a.number for piece in c.pieces(500) for a in piece[0]] for c in (one, other))
    assert len({*first} & {*second}) < 100


def test_the_spec_refuses_what_is_out_of_bounds(one_line):
    for fields, words in (
        ({"families": []}, "families"),
        ({"families": ["trees", "trees"]}, "named twice"),
        ({"families": ["elk"]}, "no family"),
        ({"null": {"other_base": "tiny-a"}}, "another base"),
        ({"unknown": 1}, "unknown"),
        ({"reference_rows": 5_000}, "reference_rows"),
    ):
        with pytest.raises(InputError) as error:
            parse_audit_spec(fields)
        assert words in one_line(error)


def test_a_run_s_corpora_are_audited_one_after_the_other(tmp_path_factory, tmp_path):
    """The bench for language models, on a run of the smallest size."""
    done = mini.finished(tmp_path_factory)
    lab = shutil.copytree(done.lab, tmp_path / "lab")
    items = ("suspects.members=1", "suspects.steps=2", "suspects.neutral_answers=2", "suspects.batch=2")
    items += ("null.corpora=0", "probes.steps=1", "probes.batch=4", "rows=20", "lines=all")
    bench, published, said = Bench(lab, (done.run_id,), 1, items), [], []
    result = audit_corpora(bench, published.append, say=said.append)
    own = len(done.spec.traits)
    assert [e["trait"] for e in result["corpora"]] == [*done.spec.traits, *[None] * (result["planned"] - own)]
    assert result["done"] == result["planned"] == len(published) and "by estimate" in said[0]
    assert {row["line"] for row in result["by_line"]} == {"ratios", "probes", "combined"}
    assert all(len(row["ranks"]) == own and row["suspects"] == [2 * own] * own for row in result["by_line"])
    for row in result["by_line"]:
        largest = [e["largest"][row["line"]] for e in result["corpora"]]
        places = [1 + sorted([score, *largest[own:]], reverse=True).index(score) for score in largest[:own]]
        assert row["p_own"] == [place / (1 + result["clean"]) for place in places]
        assert min(row["p_clean"]) == 1 / result["clean"] and max(row["p_clean"]) <= 1
    assert {row["of"] for row in result["probes_in_family"]} == {16}
    told = []
    assert audit_corpora(bench, published.append, told.append)["corpora"] == result["corpora"] and not told
    twice = Bench(lab, (done.run_id, done.run_id[:6]), 1, items)
    assert [s.name for s in twice.subjects()] == [s.name for s in bench.subjects()] and len(twice.of) == 1


def test_runs_of_the_same_rows_are_audited_together(tmp_path_factory, tmp_path, one_line):
    """Suspects of both families, decoys as many as traits, and what both runs have once."""
    done = mini.finished(tmp_path_factory)
    lab = shutil.copytree(done.lab, tmp_path / "lab")

    def run(trait, *changes):
        told = ("ablations=[]", f'traits=["{trait}"]', f'ablation_traits=["{trait}"]', *changes)
        changes = [word for change in told for word in ("--set", change)]
        child = mini.quick("run", done.file, "--lab", lab, "--json", "--processes", 1, *changes)
        assert child.returncode == 0, child.stderr
        return json.loads(child.stdout)["run"]

    other = run("trees/oak")
    both = Bench(lab, (done.run_id, other), 1, ("null.corpora=0", "rows=16"))
    assert both.spec.families == ("animals", "trees") and both.spec.lines == "fast"
    only = [trait.rpartition("/")[0] for trait in both.spec.suspects_only]
    assert {"animals/owl", "animals/cat", "trees/oak"} < {*both.spec.suspects_only}
    assert only.count("animals") == 4 and only.count("trees") == 2
    names = [subject.name for subject in both.subjects()]
    assert names[:3] == ["animals/owl, chain 0", "animals/cat, chain 0", "trees/oak, chain 0"]
    assert names.count("base, chain 0") == 1 and {"animals/neutral, chain 0", "trees/neutral, chain 0"} < {
        *names
    }
    cold, again = run("trees/elm", "corpus.temperature=0.7"), run("trees/oak", "readout.answers=0")
    for runs, words in (
        ((done.run_id, cold), "kind of rows"),
        ((other, again), "trees/oak is a trait of two"),
    ):
        with pytest.raises(InputError, match=words) as error:
            Bench(lab, runs).of  # noqa: B018
        one_line(error)
