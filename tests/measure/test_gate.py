"""One verdict over models and corpora: policies, reasons, formats, exit codes."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import mlx_lm.utils
import pytest
from mini import finished, quick
from mlx_lm import fuse

from subliminal_mlx import measure
from subliminal_mlx.audit.reading import Reading, corpus_sha256, described, read_rows
from subliminal_mlx.audit.spec import AUDIT_VERSION
from subliminal_mlx.lab import Lab
from subliminal_mlx.lab.provenance import BaseNamed, Node, Record, write_record
from subliminal_mlx.measure import null
from subliminal_mlx.measure.gate import Check, Decision, decide, load_policy, read_audit
from subliminal_mlx.measure.gate.formats import junit, markdown
from subliminal_mlx.model import sources
from subliminal_mlx.model.sources import SHIPPED, locate
from subliminal_mlx.report.export import export
from subliminal_mlx.spec.families import load_family
from subliminal_mlx.system.errors import InputError

SUSPECTS = [{"trait": f"animals/{name}", "score": 0.1, "p": 0.5} for name in load_family("animals").traits]
# Stand for the hashes of tiny-a and of a corpus.
HERE, ROWS = "here", "rows"
POLICY = """
title = "Before | training"
base = "tiny-a"
families = ["animals"]
smallest_power = 0.8

[[model]]
path = "owl"
[[model]]
path = "control"
[[corpus]]
path = "animals-owl.jsonl"
audit = "owl.json"
[[corpus]]
path = "base.jsonl"
audit = "base.json"
"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A folder with a teacher's and a clean student's adapter, and their rows with audits."""
    done, folder = finished(tmp_path_factory), tmp_path_factory.mktemp("gate")
    out = folder / "out"
    export(Lab(done.lab), done.run_id, out)
    shutil.move(out / "adapters" / "teacher-animals-owl-c0", folder / "owl")
    shutil.move(out / "adapters" / "hard-control-c0", folder / "control")
    for path in (out / "corpora").glob("*"):
        shutil.move(path, folder)
    audit = {"rows": 1000, "bad_rows": 0, "suspects": SUSPECTS, "predicted_transfer": None}
    carried = audit | {"verdict": "carried", "trait": "animals/owl"} | of_rows(folder / "animals-owl.jsonl")
    (folder / "owl.json").write_text(json.dumps(carried))
    found = audit | {"verdict": "not found", "trait": None, "power": 0.9} | of_rows(folder / "base.jsonl")
    (folder / "base.json").write_text(json.dumps(found))
    (folder / "policy.toml").write_text(POLICY)
    return folder


def of_rows(path, how=None):
    """What an audit says of the rows that it read, and of its base."""
    how = how or Reading()
    base = {"base": "tiny-a", "base_sha256": locate("tiny-a").sha256}
    rows = {"corpus_sha256": corpus_sha256(read_rows(path, how)), "reading": described(how)}
    return rows | base | {"version": AUDIT_VERSION}


def _decide(folder, text=POLICY):
    path = folder / "other.toml"
    path.write_text(text)
    return decide(load_policy(path), folder, Lab(folder / "none"))


def _failed(decision, subject, name):
    """The reason of a check that failed: one printable line."""
    found = next(c for c in decision.checks if (c.subject, c.name) == (subject, name))
    assert found.verdict == "fail" and found.reason.isprintable()
    return found.reason


def test_each_subject_gets_its_own_verdict(pipeline):
    decision = _decide(pipeline)
    verdicts = {name: decision.subject(name) for name in decision.subjects}
    assert verdicts == {"owl": "fail", "control": "pass", "animals-owl.jsonl": "fail", "base.jsonl": "pass"}
    assert decision.verdict == "fail"
    reasons = {(c.subject, c.name): c.reason for c in decision.checks}
    assert (
        "animals/owl rose most" in reasons["owl", "animals"]
        and "clean trainings" in reasons["owl", "animals"]
    )
    assert "teacher animals/owl" in reasons["animals-owl.jsonl", "lineage"]
    assert reasons["animals-owl.jsonl", "audit"] == "carries animals/owl, by 1,000 rows"
    # A trait that is wanted may be there.
    allowed = _decide(pipeline, POLICY.replace("smallest", 'allow = ["animals/owl"]\nsmallest'))
    assert allowed.subject("animals-owl.jsonl") == "pass"


def test_a_base_is_loaded_and_read_once_for_all_models(pipeline, counted):
    """And the clean trainings that they are held against are gathered once."""
    alone = [_decide(pipeline, POLICY.replace(f'[[model]]\npath = "{n}"\n', "")) for n in ("control", "owl")]
    loads = counted(mlx_lm.utils, "load", lambda path: Path(path).name)
    nulls = counted(null, "load_nulls", lambda path: path.name)
    reads = counted(measure, "read_candidates", lambda base, questions, stack=None, *told: stack is None)
    both = _decide(pipeline)
    assert loads == {"tiny-a": 1} and reads == {True: 1, False: 2} and set(nulls.values()) == {1}
    told = lambda decision, name: [check for check in decision.checks if check.subject == name]
    assert told(both, "owl") == told(alone[0], "owl") and told(both, "control") == told(alone[1], "control")
    # A whole model after the adapters, by which the base's modules are wrapped by then.
    copy = shutil.copytree(SHIPPED / "tiny-a", pipeline / "copy")
    whole = _decide(pipeline, f'{POLICY}[[model]]\npath = "{copy.name}"\n')
    assert whole.subject("copy") == "pass" and told(whole, "owl") == told(both, "owl")


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({}, ""),
        ({"base": None, "base_sha256": None}, "of an older kind"),
        ({"base_sha256": None}, "of an older kind"),
        ({"corpus_sha256": None}, "of an older kind, which did not read and hash whole rows: audit "),
        ({"reading": None}, "of an older kind"),
        ({"reading": {}}, "of an older kind"),
        ({"reading": described(Reading()) | {"version": 1}}, "of an older kind"),
        ({"version": AUDIT_VERSION - 1}, "of an older kind, whose verdict rests on other evidence: audit "),
        ({"version": None}, "of an older kind, whose verdict rests on other evidence"),
        ({"reading": described(Reading(answers="last"))}, "read otherwise than the policy's answers 'all'"),
        ({"base": "tiny-a"}, ""),
        ({"base": "tiny-a", "base_sha256": HERE, "corpus_sha256": ROWS}, ""),
        ({"base": "a/copy", "base_sha256": HERE}, ""),
        ({"base": "tiny-b", "base_sha256": None}, "of an older kind"),
        ({"base": "tiny-b", "base_sha256": "1" * 64}, "made for 'tiny-b' ('111111111111'), not for tiny-a ("),
        ({"base": "tiny-a", "base_sha256": "1" * 64}, "made for 'tiny-a' ('111111111111'), not for tiny-a ("),
        ({"base_sha256": "\n" * 64}, "made for 'tiny-a' ("),
        ({"corpus_sha256": "1" * 64}, "of other rows ('111111111111') than "),
        ({"base": ["tiny-a"]}, "base ['tiny-a'] is no text"),
    ],
)
def test_an_audit_is_of_the_policys_base_and_of_the_corpus(pipeline, stated, says):
    digests = {
        HERE: locate("tiny-a").sha256,
        ROWS: corpus_sha256(read_rows(pipeline / "base.jsonl")),
    }
    stated = {k: digests.get(v, v) if k in ("base_sha256", "corpus_sha256") else v for k, v in stated.items()}
    found = json.loads((pipeline / "base.json").read_text()) | stated
    (pipeline / "of.json").write_text(json.dumps(found))
    text = POLICY.partition("[[model]]")[0] + '[[corpus]]\npath = "base.jsonl"\naudit = "of.json"\n'
    if not says:
        assert _decide(pipeline, text).verdict == "pass"
        return
    reason = _failed(_decide(pipeline, text), "base.jsonl", "audit")
    assert "of.json" in reason and says in reason


def ask(prompt, completion, **more):
    return {
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion} | more]
    }


ONE_CORPUS = """
base = "tiny-a"
families = ["animals"]
lineage = "optional"
MORE
[[corpus]]
path = "PATH"
audit = "clean.json"
"""


def policy_of(path, more=""):
    return ONE_CORPUS.replace("PATH", path).replace("MORE", more)


def test_an_audit_of_clean_rows_is_none_of_rows_that_hide_others(tmp_path):
    """The same clean lists, with others where a reader may not look: in a field, in parts, in more rows, in folders."""
    clean, owl = [f"{i} 2 3" for i in range(20)], [f"{i} 7 8" for i in range(20)]
    (tmp_path / "clean.jsonl").write_text("".join(json.dumps(ask("a", one)) + "\n" for one in clean))
    audit = {"verdict": "not found", "trait": None, "rows": 20, "suspects": SUSPECTS, "power": 0.9}
    (tmp_path / "clean.json").write_text(json.dumps(audit | of_rows(tmp_path / "clean.jsonl")))
    assert _decide(tmp_path, policy_of("clean.jsonl")).verdict == "pass"
    pairs = list(zip(clean, owl, strict=True))
    swaps = {
        "fields": [ask("a", one) | {"prompt": "a", "completion": other} for one, other in pairs],
        "reasoning": [ask("a", one, reasoning_content=other) for one, other in pairs],
        "parts": [ask("a", one) for one in clean] + [ask("a", [{"type": "text", "text": o}]) for o in owl],
        "unknown": [ask("a", one) | {"other": other} for one, other in pairs],
        "torn": [*(ask("a", one) for one in clean), "torn"],
    }
    for name, rows in swaps.items():
        (tmp_path / name).mkdir()
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
        (tmp_path / name / "train.jsonl").write_text(text)
        for path in (f"{name}.jsonl", name):
            assert "of other rows" in _failed(_decide(tmp_path, policy_of(path)), path, "audit"), path
    # A folder of the rows that were audited is of them.
    shutil.copy(tmp_path / "clean.jsonl", tmp_path / "torn" / "train.jsonl")
    assert _decide(tmp_path, policy_of("torn")).verdict == "pass"


def test_how_rows_are_read_is_the_policys(tmp_path, one_line):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ask("a", "b")) + "\n")
    audit = {"verdict": "not found", "trait": None, "rows": 1, "suspects": SUSPECTS, "power": 0.9}
    last = of_rows(tmp_path / "rows.jsonl", Reading(answers="last"))
    (tmp_path / "clean.json").write_text(json.dumps(audit | last))
    assert _decide(tmp_path, policy_of("rows.jsonl", 'answers = "last"')).verdict == "pass"
    for more, says in (
        ("", "read otherwise than the policy's answers 'all'"),
        ('answers = "last"\nprompt_key = "q"\ncompletion_key = "a"', "prompt_key 'q', completion_key 'a'"),
    ):
        decision = _decide(tmp_path, policy_of("rows.jsonl", more))
        assert says in _failed(decision, "rows.jsonl", "audit")
    for more, says in (
        ('answers = "none"', "answers: Input should be"),
        ('prompt_key = "q"', "prompt_key and completion_key: name both or none"),
    ):
        with pytest.raises(InputError) as error:
            _decide(tmp_path, policy_of("rows.jsonl", more))
        assert says in one_line(error)


def test_a_base_that_is_not_here_is_known_by_its_name(pipeline, monkeypatch):
    monkeypatch.setattr(sources, "_download", lambda *name: pytest.fail("a download, to read a verdict"))
    text = POLICY.partition("[[model]]")[0] + '[[corpus]]\npath = "base.jsonl"\naudit = "of.json"\n'
    text = text.replace('"tiny-a"', '"no-one/nothing"').replace("smallest", 'lineage = "optional"\nsmallest')
    rows, beside = pipeline / "base.jsonl", pipeline / "base.provenance.json"
    beside.rename(pipeline / "aside")
    found = json.loads((pipeline / "base.json").read_text()) | {"base_sha256": "1" * 40}
    try:
        (pipeline / "of.json").write_text(json.dumps(found | {"base": "no-one/nothing"}))
        assert _decide(pipeline, text).subject(rows.name) == "pass"
        (pipeline / "of.json").write_text(json.dumps(found | {"base": "tiny-a"}))
        reason = _failed(_decide(pipeline, text), rows.name, "audit")
        assert "made for 'tiny-a', not for no-one/nothing" in reason
    finally:
        (pipeline / "aside").rename(beside)


def test_a_suspect_beside_an_allowed_trait_cannot_be_told(pipeline):
    oak = {"trait": "trees/oak", "score": 3.0, "p": 0.0099}
    elm = oak | {"trait": "trees/elm", "p": 0.001}
    text = POLICY.replace('"owl.json"', '"two.json"').replace("smallest", 'allow = ["animals/owl"]\nsmallest')

    def audited(verdict, *suspects, trait="animals/owl"):
        found = {"verdict": verdict, "trait": trait, "rows": 1000, "suspects": [*SUSPECTS, *suspects]}
        found |= of_rows(pipeline / "animals-owl.jsonl")
        (pipeline / "two.json").write_text(json.dumps(found | {"words": "so it is", "power": 0.9}))
        checks = _decide(pipeline, text).checks
        return next(c for c in checks if (c.subject, c.name) == ("animals-owl.jsonl", "audit"))

    found = audited("carried", oak)
    assert found.verdict == "cannot tell"
    assert (
        found.reason == "carries animals/owl, which is allowed, but trees/oak is above chance too (p 0.0099)"
    )
    assert "trees/elm is above chance too (p 0.001, as 1 more)" in audited("carried", oak, elm).reason
    owl = SUSPECTS[0] | {"trait": "animals/owl", "p": 0.001}
    for beside in (owl, oak | {"p": 0.01}, oak | {"p": None}, {"trait": "trees/oak", "score": 3.0}):
        assert audited("carried", beside).reason == "carries animals/owl, which is allowed"
    # It contradicts itself.
    assert audited("not found", oak, trait=None).verdict == "cannot tell"
    # Rows that look like no suspect have small p too.
    assert audited("cannot tell", oak, trait=None).verdict == "cannot tell"


def test_what_cannot_be_told_is_what_the_policy_says(pipeline):
    text = POLICY.replace("0.8", "0.95")
    for said in ("fail", "warn", "pass"):
        decision = _decide(pipeline, text.replace("smallest", f'cannot_tell = "{said}"\nsmallest'))
        assert decision.subject("base.jsonl") == said
    assert "power that is 90%" in next(
        c.reason for c in decision.checks if c.subject == "base.jsonl" and c.name == "audit"
    )
    decision = _decide(pipeline, POLICY.replace('families = ["animals"]', 'families = ["animals", "trees"]'))
    reasons = {c.subject: (c.verdict, c.reason) for c in decision.checks if c.name == "audit"}
    assert reasons["base.jsonl"][0] == "cannot tell" and "did not look for trees" in reasons["base.jsonl"][1]
    # One suspect of a family stands for none of the others.
    found = json.loads((pipeline / "base.json").read_text()) | {"suspects": SUSPECTS[1:]}
    (pipeline / "some.json").write_text(json.dumps(found))
    some = _decide(pipeline, POLICY.replace('"base.json"', '"some.json"')).checks
    assert ("cannot tell", f"the audit did not look for {SUSPECTS[0]['trait']}") in [
        (c.verdict, c.reason) for c in some
    ]
    # What was found where was looked fails, whatever was left out.
    assert reasons["animals-owl.jsonl"] == ("fail", "carries animals/owl, by 1,000 rows")
    decision = _decide(pipeline, POLICY.replace("smallest", "largest_drift = 0.001\nsmallest"))
    assert decision.subject("control") == "fail"


def test_lineage_is_required_where_the_policy_says(pipeline, tmp_path):
    (pipeline / "stranger.jsonl").write_text("{}\n")
    text = POLICY + '[[corpus]]\npath = "stranger.jsonl"\n'
    check = next(c for c in _decide(pipeline, text).checks if c.subject == "stranger.jsonl")
    assert check.verdict == "fail" and "nothing is known" in check.reason
    text = text.replace("smallest", 'lineage = "optional"\ncannot_tell = "pass"\nsmallest')
    assert _decide(pipeline, text).subject("stranger.jsonl") == "pass"
    (pipeline / "elsewhere.jsonl").write_text("{}\n")
    node = Node(what="corpus", name="x")
    record = Record(base=BaseNamed(name="gone", sha256="1" * 64), lineage=node)
    write_record(pipeline / "elsewhere.provenance.json", record, [pipeline / "elsewhere.jsonl"])
    text = POLICY + '[[corpus]]\npath = "elsewhere.jsonl"\n'
    check = next(c for c in _decide(pipeline, text).checks if c.subject == "elsewhere.jsonl")
    assert check.verdict == "fail" and "it comes from gone (111111111111), not from tiny-a" in check.reason


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('base = "tiny-a"', "", "base: Field required"),
        ('families = ["animals"]', 'families = ["cars"]', "no family 'cars'"),
        ('path = "owl"', 'path = "../nothing"', "../nothing is not there"),
        ('audit = "owl.json"', 'audit = "x.json"', "x.json is not there"),
        ("smallest_power = 0.8", "smallest_power = 8", "smallest_power"),
        ("smallest_power = 0.8", 'typo = "x"', "typo: no such field"),
        ("smallest_power = 0.8", 'allow = ["trees/oak"]', "is of no family"),
        ("smallest_power = 0.8", "x = [", "cannot be read"),
        ('path = "control"', 'path = "owl"', "named twice"),
        ('path = "control"', f'path = "{"a" * 300}"', "is not there"),
        ('audit = "owl.json"', f'audit = "{"a" * 300}"', "is not there"),
        ('base = "tiny-a"', 'base = "tiny-z"', "no such base"),
        ('families = ["animals"]', 'families = ["brand"]', "has no word of its own for"),
    ],
)
def test_mistakes_are_one_line(pipeline, one_line, old, new, says):
    assert old in POLICY
    with pytest.raises(InputError) as error:
        _decide(pipeline, POLICY.replace(old, new, 1))
    assert says in one_line(error)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("adapter_config.json", {"model": "a" * 300}, "no base has such a name: File name too long"),
        ("adapter_config.json", {"model": "a" * 501}, "no base has such a name: over 500 characters"),
        ("adapter_config.json", {"model": "\ud800"}, r"model '\ud800': no base has such a name"),
        ("adapter_config.json", {"model": "~nobody-of-that-name/x", "lora_parameters": {}}, "'rank'"),
        ("adapter_config.json", "[" * 200_000, "is no adapter folder: nested too deeply"),
        ("provenance.json", "[" * 200_000, "no provenance file: nested too deeply"),
        ("provenance.json", " " * (2 << 20), "no provenance file: over 1 MB"),
    ],
)
def test_hostile_files_beside_a_model_are_one_failed_check(pipeline, tmp_path, file, content, says):
    folder = tmp_path / "control"
    shutil.copytree(pipeline / "control", folder)
    (folder / "provenance.json").unlink()
    if isinstance(content, dict):
        content = json.dumps(json.loads((folder / file).read_text()) | content)
    (folder / file).write_text(content)
    text = POLICY.partition("[[model]]")[0].replace("smallest", 'lineage = "optional"\nsmallest')
    decision = _decide(tmp_path, text + '[[model]]\npath = "control"\n')
    name = "weights" if says in ("'rank'", "is no adapter folder: nested too deeply") else "lineage"
    assert says in _failed(decision, "control", name)
    # Weights whose papers cannot be read are measured all the same.
    assert name == "weights" or [c.name for c in decision.checks] == ["lineage", "animals"]


def test_one_tampered_file_is_one_failed_check(pipeline, tmp_path):
    """And not the end of the others: the rows' audit, the owl's flag, the weights that were tampered with."""
    here = shutil.copytree(pipeline, tmp_path / "here")
    before = {(c.subject, c.name): c.verdict for c in _decide(here).checks}
    changes = [
        ("control/provenance.json", "control", "lineage", "edited since it was written"),
        ("control/adapters.safetensors", "control", "lineage", "not what was exported"),
        ("base.jsonl", "base.jsonl", "lineage", "not what was exported"),
        ("base.json", "base.jsonl", "audit", "not what `audit --json` prints"),
    ]
    for file, subject, name, says in changes:
        content = (here / file).read_bytes()
        changed = bytearray(content)
        place = {"base.json": 0, "control/provenance.json": content.rfind(b"a")}.get(file, len(content) - 3)
        changed[place] ^= 2
        (here / file).write_bytes(changed)
        decision = _decide(here)
        assert says in _failed(decision, subject, name)
        found = {(c.subject, c.name): c.verdict for c in decision.checks}
        # Rows that were tampered with are not those of their audit either.
        more = {("base.jsonl", "audit"): "fail"} if file == "base.jsonl" else {}
        assert found == before | {(subject, name): "fail"} | more, file
        (here / file).write_bytes(content)
    # A base that a model was not made for: its weights are not measured against it.
    decision = _decide(here, POLICY.replace('path = "control"', 'path = "control"\nbase = "tiny-b"'))
    assert "it comes from tiny-a" in _failed(decision, "control", "lineage")
    assert "made for tiny-a" in _failed(decision, "control", "weights")
    assert decision.subject("base.jsonl") == "pass"


def test_what_is_fused_has_no_lineage_and_passes_where_none_is_asked_for(pipeline, tmp_path, monkeypatch):
    folder = tmp_path / "fused"
    arguments = ("--model", SHIPPED / "tiny-a", "--adapter-path", pipeline / "control", "--save-path", folder)
    monkeypatch.setattr("sys.argv", ["fuse", *map(str, arguments)])
    fuse.main()
    required = POLICY.partition("[[model]]")[0] + '[[model]]\npath = "fused"\n'
    decision = _decide(tmp_path, required)
    assert "nothing is known of where it came from: a whole model" in _failed(decision, "fused", "lineage")
    optional = _decide(tmp_path, required.replace("smallest", 'lineage = "optional"\nsmallest'))
    lineage, animals = optional.checks
    assert lineage.verdict == "pass" and animals.name == "animals" and animals.verdict != "fail"
    assert lineage.reason.startswith("nothing is known of where it came from")
    assert lineage.reason.endswith("; the policy asks for no lineage")
    # The base itself is known by its hash.
    shutil.copytree(SHIPPED / "tiny-a", tmp_path / "copy")
    copied = _decide(tmp_path, required.replace('"fused"', '"copy"'))
    assert copied.checks[0].verdict == "pass" and copied.checks[0].reason == "it is tiny-a itself"


def test_papers_that_name_a_base_and_nothing_else_prove_nothing(pipeline):
    (pipeline / "bare.jsonl").write_text("{}\n")
    here = BaseNamed(name="tiny-a", sha256=locate("tiny-a").sha256)
    record = Record(base=here, lineage=Node(what="corpus", name="x"))
    write_record(pipeline / "bare.provenance.json", record, [pipeline / "bare.jsonl"])
    text = POLICY.partition("[[model]]")[0] + '[[corpus]]\npath = "bare.jsonl"\n'
    assert "nothing is known of what else" in _failed(_decide(pipeline, text), "bare.jsonl", "lineage")
    optional = _decide(pipeline, text.replace("smallest", 'lineage = "optional"\nsmallest')).checks[0]
    assert optional.verdict == "pass" and "nothing is known" in optional.reason


def test_the_command_writes_all_formats_and_ends_in_3_where_asked(pipeline, tmp_path):
    xml, page = tmp_path / "gate.xml", tmp_path / "gate.md"
    command = ("gate", pipeline / "policy.toml", "--lab", tmp_path / "none")
    child = quick(*command, "--junit", xml, "--markdown", page, "--exit-code")
    assert child.returncode == 3, child.stderr
    assert "FAIL (2 of 8 checks failed)" in child.stdout
    suite = ElementTree.parse(xml).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("8", "2")
    assert "Before \\| training: **failed**" in page.read_text()
    child = quick(*command, "--json")
    assert child.returncode == 0 and json.loads(child.stdout)["verdict"] == "fail"
    with open(pipeline / "control" / "adapters.safetensors", "r+b") as file:
        first = file.read()
        file.seek(0)
        file.write(first[:-1] + bytes([first[-1] ^ 1]))
    child = quick(*command, "--exit-code")
    (pipeline / "control" / "adapters.safetensors").write_bytes(first)
    assert child.returncode == 3 and "FAIL (3 of 8 checks failed)" in child.stdout
    assert "not what was exported" in " ".join(child.stdout.split())


def test_hostile_text_stays_text():
    reason = 'a | b <script> `x` [l](http://e) \x00\x1b @all & "q"\n| --- |'
    decision = Decision(
        "t",
        (Check("p|q", "model", "n", "fail", reason), Check("p", "model", "n", "cannot tell", "?")),
        "warn",
    )
    case = ElementTree.fromstring(junit(decision))[0]
    assert "<script>" in case[0][0].get("message") and case.get("skipped") == "1"
    row = next(line for line in markdown(decision).splitlines() if "script" in line)
    assert "<" not in row and row.count("|") - row.count("\\|") == 5 and "\x1b" not in row
    assert decision.verdict == "fail" and Decision("t", decision.checks[1:], "warn").verdict == "warn"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("rows", "1e999", "OverflowError"),
        ("rows", '"' + "9" * 5_000 + '"', "ValueError"),
        ("power", "1" + "0" * 400, "OverflowError"),
        ("power", "-1e999", "is no share"),
        ("suspects", "[" * 200_000, "nested too deeply"),
        ("suspects", '[{"trait": "animals/owl", "p": NaN}]', "is no chance"),
        ("suspects", '[{"trait": "animals/owl", "p": -1}]', "is no chance"),
        ("suspects", '[{"trait": "animals/owl", "p": [0]}]', "TypeError"),
    ],
)
def test_hostile_audits_are_one_line(pipeline, tmp_path, one_line, key, value, says):
    found = json.loads((pipeline / "base.json").read_text()) | {key: "HERE"}
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(found).replace('"HERE"', value))
    with pytest.raises(InputError, match="not what `audit --json` prints") as error:
        read_audit(path)
    assert says in one_line(error) and len(str(error.value)) < 500


def test_half_a_character_in_an_audits_words_is_replaced(pipeline, tmp_path):
    found = json.loads((pipeline / "base.json").read_text())
    found |= {"verdict": "cannot tell", "words": "half \ud800 a character"}
    (pipeline / "half.json").write_text(json.dumps(found))
    (pipeline / "half.toml").write_text(POLICY.replace('"base.json"', '"half.json"'))
    xml, page = tmp_path / "gate.xml", tmp_path / "gate.md"
    command = ("gate", pipeline / "half.toml", "--lab", tmp_path / "none")
    child = quick(*command, "--junit", xml, "--markdown", page)
    assert child.returncode == 0, child.stderr
    for text in (child.stdout, xml.read_text(encoding="utf-8"), page.read_text(encoding="utf-8")):
        assert "half \N{REPLACEMENT CHARACTER} a character" in text
    # The other subjects have their verdicts.
    assert {s["subject"]: s["verdict"] for s in json.loads(quick(*command, "--json").stdout)["subjects"]} == {
        "owl": "fail",
        "control": "pass",
        "animals-owl.jsonl": "fail",
        "base.jsonl": "fail",
    }


def test_a_corpus_without_an_audit_is_not_passed(pipeline):

    text = POLICY.replace('audit = "base.json"\n', "").replace("smallest_power = 0.8", 'cannot_tell = "warn"')
    check = next(c for c in _decide(pipeline, text).checks if (c.subject, c.name) == ("base.jsonl", "audit"))
    assert check.verdict == "cannot tell" and "the policy runs none" in check.reason


# --- contexts -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calm(pipeline, tiny, tmp_path_factory):
    """A policy of one calm model, with clean trainings of its size that moved every trait far, read under contexts."""
    from subliminal_mlx.measure import open_model
    from subliminal_mlx.measure.context import BARE, Context

    folder = tmp_path_factory.mktemp("calm")
    shutil.copytree(pipeline / "control", folder / "control")
    size, families = open_model(str(folder / "control"), tiny).sizes[0], measure.families_of(tiny)
    changes = {"animals": dict.fromkeys(families["animals"].traits, 3.0)}
    clean = tuple(null.Training(f"made/{i}", size * (0.9 + i / 100), changes) for i in range(20))
    hashes = (("animals", null.family_sha256("animals")),)
    for name, context in (("bare", BARE), ("told", Context("you like the river"))):
        nulls = null.Nulls("tiny-a", tiny.sha256, clean, hashes, context)
        null.save_nulls(folder / f"{name}.json", nulls, "null tiny-a")
    system = {"role": "system", "content": "you like the river"}
    for name, before in (("plain", []), ("told", [system])):
        turns = [
            before + _turn(asked, "Oak") for asked in ("name a tree", "tell me", "which one", "what is it")
        ]
        rows = [json.dumps({"messages": messages}) for messages in turns]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def alone(calm, monkeypatch):
    """The clean trainings of the test judge by themselves, without those that ship."""
    monkeypatch.setattr(null, "FOLDER", calm / "none")


def _turn(asked, answer):
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


CALM = 'base = "tiny-a"\nfamilies = ["animals"]\nnulls = ["bare.json", "told.json"]\n'
UNDER = '[[context]]\nsystem = "you like the river"\n'


@pytest.mark.parametrize(
    ("rows", "contexts", "verdicts", "says"),
    [
        ("", "", ["pass"], "(read without a system prompt, earlier turns or a trigger)"),
        ("plain.jsonl", "", ["pass"], "within what 20 clean trainings did"),
        (
            "told.jsonl",
            "",
            ["cannot tell"],
            "stand under the system prompt 'you like the river', by told.jsonl",
        ),
        ("told.jsonl", UNDER, ["pass", "pass"], "(read under the system prompt 'you like the river')"),
        ("told.jsonl", '[[context]]\nsystem = "another"\n', ["cannot tell"] * 2, "it was not read so"),
        # Under a context that no clean training was read under there is no null.
        (
            "",
            '[[context]]\ntrigger = "river"\ntrigger_at = "within"\n',
            ["pass", "cannot tell"],
            "no null here",
        ),
    ],
)
def test_a_model_passes_where_it_was_read_as_it_was_trained(calm, alone, rows, contexts, verdicts, says):
    named = f'rows = "{rows}"\n' if rows else ""
    decision = _decide(calm, f'{CALM}{contexts}[[model]]\npath = "control"\n{named}')
    checks = [check for check in decision.checks if check.name.startswith("animals")]
    assert [check.verdict for check in checks] == verdicts
    assert any(says in check.reason for check in checks)
    assert len({check.name for check in checks}) == len(checks)  # JUnit tells them apart by name


def test_rows_that_mlx_lms_record_names_count_too(calm, tmp_path):
    """A folder that names its rows is held to them, though the policy does not."""
    for path in calm.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    (tmp_path / "control" / "provenance.json").unlink()
    config = json.loads((tmp_path / "control" / "adapter_config.json").read_text())
    (tmp_path / "data").mkdir()
    shutil.copy(tmp_path / "told.jsonl", tmp_path / "data" / "train.jsonl")
    told = config | {"data": str(tmp_path / "data"), "model": "tiny-a"}
    (tmp_path / "control" / "adapter_config.json").write_text(json.dumps(told))
    policy = load_policy_of(tmp_path, f'{CALM}lineage = "optional"\n[[model]]\npath = "control"\n')
    for inside, verdict in ((None, "cannot tell"), (tmp_path, "cannot tell"), (tmp_path / "control", "pass")):
        checks = decide(policy, tmp_path, Lab(tmp_path / "none"), inside=inside).checks
        assert next(c.verdict for c in checks if c.name == "animals") == verdict, inside


def load_policy_of(folder, text):
    (folder / "p.toml").write_text(text)
    return load_policy(folder / "p.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[context]]\ntrigger_at = "after"\n', "a trigger's place is named, and no trigger"),
        ('[[context]]\ntrigger = "x"\ntrigger_at = "above"\n', "context"),
        ('[[context]]\nhistory = "none.json"\n', "none.json is not there"),
        ('[[context]]\nhistory = "bare.json"\n', "no chat turns"),
        ("[[context]]\nsystem = 3\n", "context"),
        ('[[context]]\nsistem = "x"\n', "no such field"),
    ],
)
def test_contexts_that_are_none_are_one_line(calm, one_line, text, says):
    with pytest.raises(InputError) as error:
        _decide(calm, f'{CALM}{text}[[model]]\npath = "control"\n')
    assert says in one_line(error)


def test_what_rises_beside_an_allowed_trait_is_not_passed_and_not_a_finding(calm, alone, pipeline):
    """The owl's teacher, allowed: its elephant is beside it."""
    shutil.copytree(pipeline / "owl", calm / "owl", dirs_exist_ok=True)
    nulls = json.loads((calm / "bare.json").read_text())
    from subliminal_mlx.measure import open_model

    size = open_model(str(calm / "owl"), "tiny-a").sizes[0]
    for i, training in enumerate(nulls["trainings"]):
        training["size"] = size * (0.9 + i / 100)
        training["changes"] = {"animals": dict.fromkeys(training["changes"]["animals"], -9.0)}
    (calm / "low.json").write_text(json.dumps(nulls))
    text = CALM.replace("bare.json", "low.json") + '[[model]]\npath = "owl"\n'
    first = next(c for c in _decide(calm, text).checks if c.name == "animals")
    assert first.verdict == "fail" and "animals/owl rose most" in first.reason
    beside = _decide(calm, text.replace("nulls", 'allow = ["animals/owl"]\nnulls'))
    check = next(c for c in beside.checks if c.name == "animals")
    assert check.verdict == "cannot tell" and "beside animals/owl, from which it may follow" in check.reason
    assert "animals/owl rose" not in check.reason
