"""Kinds of jobs: what a browser may ask for, whose it is, and processes that are cancelled, killed, started again."""

import json
import os
import shutil
import signal
import time

import mini
import psutil
import pytest

from subliminal_mlx import jobs
from subliminal_mlx.audit.request import asked_spec
from subliminal_mlx.jobs import kinds, line
from subliminal_mlx.jobs.books import Books
from subliminal_mlx.jobs.kinds import costs
from subliminal_mlx.jobs.kinds.audit import QUICK
from subliminal_mlx.jobs.kinds.run import checked_spec
from subliminal_mlx.jobs.limits import inside
from subliminal_mlx.jobs.request import Sender, Upload, Work
from subliminal_mlx.lab import Lab
from subliminal_mlx.model import adapters
from subliminal_mlx.model.sources import SHIPPED
from subliminal_mlx.system import locks
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.system.events import ignore
from subliminal_mlx.web.pages import measuring, reviewed

ADA, BOB = "a" * 32, "b" * 32
ROWS = "".join(
    json.dumps({"prompt": f"Continue: {i} 2 3", "completion": f"{i} 7 5 {99 - i} 1 2 8 {i}"}) + "\n"
    for i in range(90)
).encode()
AUDIT = {"base": "tiny-a", "families": ["trees"], "quick": True}
POLICY = 'base = "tiny-a"\nfamilies = ["trees"]\nlineage = "optional"\ncannot_tell = "pass"\n'
MANY = ["advice", "animals", "brand", "origin", "pronouns", "sycophancy", "trees"]
AUDITED = f'base = "smollm2-135m"\nfamilies = {json.dumps(MANY)}\nrun_audits = true\n'
TWO = '[[corpus]]\npath = "here"\n[[corpus]]\npath = "too"\n'


@pytest.fixture
def lab(tmp_path):
    """A lab's folder; processes that compute in it end with the test."""
    folder = tmp_path / "a lab"
    folder.mkdir()
    yield folder
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in (process.info["cmdline"] or []):
            process.kill()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, make_stack):
    made = tmp_path_factory.mktemp("adapter") / "one"
    adapters.save_adapter(made, make_stack([3]), 0)
    return made


def checked(lab, kind, values, owner, upload=None):
    return kinds.checked(kind, values, Sender(lab, owner, upload))


def idle(lab):
    """Wait until nobody takes jobs: who writes into a record without the books may be overlooked by one who does."""
    latest = time.monotonic() + 60
    while Books(lab).dispatcher():
        assert time.monotonic() < latest
        time.sleep(0.02)


def wait(lab, review_id, *states):
    end = time.monotonic() + 400
    while (seen := jobs.view(lab, review_id)).state not in states:
        assert time.monotonic() < end, seen
        time.sleep(0.05)
    return seen


def put(lab, adapter, *steps):
    """The adapter as a training's folder inside the lab."""
    folder = lab / "trained" / "one"
    folder.parent.mkdir(exist_ok=True)
    os.system(f"cp -r '{adapter}' '{folder}'")
    for step in steps:
        os.link(folder / "adapters.safetensors", folder / f"{step:07d}_adapters.safetensors")
    return "trained/one"


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("exec", {}, "there are run, defend, audit, measure"),
        ("audit", AUDIT, "drop a file in"),
        ("audit", AUDIT | {"base": "/etc"}, "base: '/etc' is not here"),
        ("audit", AUDIT | {"families": []}, "families"),
        ("audit", AUDIT | {"families": ["/etc/x.toml"]}, "is not here: there are advice"),
        ("audit", AUDIT | {"drop_percent": 99}, "drop_percent"),
        ("audit", AUDIT | {"suspects.members": 9}, "no such field"),
        ("audit", AUDIT | {"run": "../../etc"}, "must be 12 characters"),
        ("audit", AUDIT | {"run": "f" * 12}, "not in this lab"),
        (
            "audit",
            AUDIT | {"base": "smollm2-135m", "families": MANY, "quick": False, "probes": True},
            "at most 12 from an app",
        ),
        ("gate", {"policy": AUDITED + TWO}, "at most 12 from an app"),
        ("measure", {"run": "f" * 12, "slot": "x"}, "not in this lab"),
        ("measure", {"folder": "../outside"}, "stay inside"),
        ("measure", {"folder": "~root"}, "plain path"),
        ("measure", {"folder": "no/such"}, "not there"),
        ("measure", {"folder": ".", "against": "tiny-a"}, "stay inside"),
        ("drift", {"folder": ""}, "folder"),
        ("measure", {"folder": ".", "trigger": "x", "trigger_at": "above"}, "none of before, within, after"),
        ("drift", {"folder": ".", "system": "x" * 2_001}, "system"),
        ("drift", {"folder": "link"}, "stay inside"),
        ("gate", {"policy": "base = "}, "not TOML"),
        ("gate", {"policy": POLICY}, "names no"),
        ("gate", {"policy": POLICY.replace("tiny-a", "/etc") + '[[model]]\npath = "x"\n'}, "policy: base"),
        (
            "gate",
            {"policy": POLICY.replace('"trees"', '"/etc/x.toml"') + '[[model]]\npath = "x"\n'},
            "policy: families",
        ),
        (
            "gate",
            {"policy": 'allow = ["/etc/x.toml/owl"]\n' + POLICY + '[[model]]\npath = "x"\n'},
            "policy: allow",
        ),
        ("gate", {"policy": POLICY + '[[model]]\npath = "/etc/passwd"\n'}, "stay inside"),
        ("gate", {"policy": POLICY + '[[corpus]]\npath = "link/x"\n'}, "stay inside"),
        ("gate", {"policy": POLICY + '[[corpus]]\npath = "here"\naudit = "../../x.json"\n'}, "stay inside"),
        ("gate", {"policy": POLICY + '[[model]]\npath = "here"\nbase = "../tiny"\n'}, "policy: base"),
        ("gate", {"policy": "x" * 60_000}, "over 50,000 bytes"),
    ],
)
def test_forged_requests_are_refused_in_a_line(lab, one_line, kind, values, says):
    (lab / "here").mkdir()
    (lab / "too").mkdir()
    (lab / "link").symlink_to("/etc")
    with pytest.raises(InputError) as error:
        rows = Upload("rows.jsonl", ROWS * 200) if "at most 12" in says and kind == "audit" else None
        jobs.submit(lab, kind, values, ADA, rows)
    assert says in one_line(error)
    assert not (lab / "jobs").exists(), "nothing was begun"


def test_files_are_bounded_and_keep_no_name_of_the_visitors(lab, one_line):
    for upload, says in (
        (Upload("big.jsonl", bytes(jobs.LIMITS.upload + 1)), "over 20 MB"),
        (Upload("empty.jsonl", b""), "it is empty"),
        (Upload("rows.py", b"x"), "must be a file in .jsonl or .json or .parquet or .gz"),
        (Upload("../../x.jsonl\n.exe", b"x"), "must be a file in"),
    ):
        with pytest.raises(InputError) as error:
            jobs.submit(lab, "audit", AUDIT, ADA, upload)
        assert says in one_line(error)
    assert checked(lab, "audit", AUDIT, ADA, Upload("../../etc/passwd.jsonl", b"x")).base == "tiny-a"


def test_what_lies_outside_is_not_told_apart_from_nothing(lab):
    """A path that exists outside and one that does not get the same answer."""
    said = set()
    for path in ("../there", "../not-there"):
        (lab.parent / "there").mkdir(exist_ok=True)
        with pytest.raises(InputError) as error:
            inside(lab, path, ADA)
        said.add(str(error.value).replace(path, ""))
    assert len(said) == 1


def test_a_model_is_measured_and_stays_its_owners(lab, adapter):
    folder = put(lab, adapter, 5, 10)
    asked = {"folder": folder, "against": "tiny-a", "families": ["trees"]}
    one = jobs.submit(lab, "measure", asked, ADA)
    assert jobs.submit(lab, "measure", asked, ADA).id == one.id, "asked again, it is answered"
    two = jobs.submit(lab, "drift", asked | {"trigger": "tell me", "trigger_at": "after"}, BOB)
    assert one.id != two.id and jobs.view(lab, two.id).state == "queued"
    for doing in (jobs.cancel, jobs.again, jobs.forget):
        with pytest.raises(InputError, match="somebody else"):
            doing(lab, one.id, BOB)
        with pytest.raises(InputError, match="somebody else"):
            doing(lab, one.id, "")
    done = wait(lab, one.id, "done", "failed")
    assert done.state == "done", done.job
    store = Lab(lab)
    seen = reviewed.opened(store, one.id, "measure")
    assert seen.words == seen.result["words"] and "trees/" in seen.words and "<svg" in seen.svg("changes")
    assert seen.words.partition(":")[0] == {"not flagged": "nothing flagged"}.get(
        seen.result["verdict"], seen.result["verdict"]
    )
    assert "Read without a system prompt" in measuring.changes(seen.result)
    assert "trees/" in measuring.changes(seen.result) and str(lab) not in json.dumps(seen.result)
    # Each visitor finds their own; an address may be shared, but it is no path to another's files.
    mine = {owner: {o.id for o in reviewed.listing(store, "measure", owner)} for owner in (ADA, BOB, "")}
    assert one.id in mine[ADA] and not {one.id} & (mine[BOB] | mine[""])
    assert inside(lab, f"jobs/{one.id}/result/result.json", ADA).is_file()
    for owner in (BOB, ""):
        with pytest.raises(InputError, match="no job of yours"):
            inside(lab, f"jobs/{one.id}/result/result.json", owner)
    with pytest.raises(InputError, match="see its own tab"):
        reviewed.standing(store, one.id, "gate")
    assert wait(lab, two.id, "done", "failed").state == "done"
    steps = reviewed.opened(store, two.id, "drift").result["checkpoints"]
    assert [step["step"] for step in steps] == [5, 10] and measuring.drifting(store) == [folder]
    assert all(step["context"]["trigger"] == "tell me" for step in steps)
    assert "with the trigger &#x27;tell me&#x27; after every question" in measuring.steps(
        {"checkpoints": steps}
    )
    jobs.forget(lab, two.id, BOB)
    assert jobs.view(lab, two.id).state == "empty"


def test_a_base_that_an_adapter_names_by_a_path_is_shown_without_it(lab, adapter, tmp_path):
    base = tmp_path / "My Disk" / "clients" / "acme secret" / "Qwen"
    shutil.copytree(SHIPPED / "tiny-a", base)
    folder = put(lab, adapter)
    config = lab / folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model": str(base)}))
    shutil.copytree(base, lab / "a whole model")
    policy = POLICY + f'[[model]]\npath = "{folder}"\n[[model]]\npath = "a whole model"\n'
    for kind, asked in (
        ("measure", {"folder": folder, "families": ["trees"]}),
        ("gate", {"policy": policy}),
    ):
        target, form = tmp_path / kind, checked(lab, kind, asked, ADA)
        target.mkdir()
        said = form.compute(Work("0" * 24, "mine", Sender(lab, ADA), None, target, ignore, ignore, bool))
        written = [said, *(path.read_text() for path in target.iterdir())]
        assert "Qwen" in "".join(written)
        for text in written:
            assert "acme" not in text and "My Disk" not in text and str(lab) not in text


def test_files_that_changed_are_looked_at_anew(lab, adapter):
    """The same words about other files are another request; about the same files they are answered."""
    (lab / "rows.jsonl").write_bytes(ROWS)
    asked = {"policy": POLICY + '[[corpus]]\npath = "rows.jsonl"\n'}
    one = jobs.submit(lab, "gate", asked, ADA)
    assert wait(lab, one.id, "done", "failed").state == "done"
    assert jobs.submit(lab, "gate", asked, ADA).id == one.id
    for changed, content in (("rows.jsonl", ROWS[::-1]), ("rows.provenance.json", b"{}")):
        (lab / changed).write_bytes(content)
        two = jobs.submit(lab, "gate", asked, ADA)
        assert two.id != one.id and two.state == "queued", changed
        jobs.cancel(lab, two.id, ADA)
        one = two
    folder = lab / put(lab, adapter)
    for kind in ("measure", "drift"):
        asked = checked(lab, kind, {"folder": "trained/one"}, ADA)
        state = lambda asked=asked: asked.identify(Sender(lab, ADA))
        before = state()
        assert before == state()
        os.link(folder / "adapters.safetensors", folder / f"{len(kind):07d}_adapters.safetensors")
        after = state()
        assert before != after
        weights = folder / "adapters.safetensors"
        (folder / "new").write_bytes(weights.read_bytes())
        os.utime(folder / "new", ns=(weights.stat().st_atime_ns, weights.stat().st_mtime_ns))
        os.replace(folder / "new", weights)
        assert state() != after, "of the same size, and copied with its time"


def test_an_audit_is_cancelled_killed_and_started_again(lab):
    one = jobs.submit(lab, "audit", AUDIT, ADA, Upload("rows.jsonl", ROWS))
    waits = jobs.submit(lab, "audit", AUDIT | {"families": ["animals"]}, ADA, Upload("rows.jsonl", ROWS))
    wait(lab, one.id, "running")
    assert jobs.view(lab, waits.id).state == "queued" and jobs.view(lab, waits.id).position == 1
    # What takes seconds waits for no audit: a corpus without one, of which the policy lets that pass.
    policy = POLICY + f'[[corpus]]\npath = "jobs/{one.id}/rows.jsonl"\n'
    short = jobs.submit(lab, "gate", {"policy": policy}, ADA)
    ended = wait(lab, short.id, "done", "failed")
    assert ended.message == "PASS: 0 of 2 checks failed"
    found = reviewed.opened(Lab(lab), short.id, "gate").result
    assert "no audit of it is named" in measuring.decision(found)
    assert jobs.view(lab, one.id).state == "running" and jobs.view(lab, waits.id).state == "queued"
    until_stages(lab, one)
    jobs.cancel(lab, one.id, ADA)
    assert wait(lab, one.id, "cancelled").progress["stages"]
    # The next one takes its turn.
    wait(lab, waits.id, "running")
    jobs.cancel(lab, waits.id, ADA)
    wait(lab, waits.id, "cancelled")
    jobs.again(lab, one.id, ADA)
    os.kill(own_process(lab, one), signal.SIGKILL)
    seen = wait(lab, one.id, "interrupted")
    assert "was killed" in reviewed.sentence(seen)
    (Books(lab).folder(one.id) / "rows.jsonl").write_bytes(b"\0" * 50)
    jobs.again(lab, one.id, ADA)
    assert "is binary" in wait(lab, one.id, "failed").message


def until_stages(lab, job):
    """Wait until the job has said what it does."""
    end = time.monotonic() + 400
    while not (jobs.view(lab, job.id).progress or {}).get("stages"):
        assert time.monotonic() < end
        time.sleep(0.05)


def own_process(lab, job):
    """The pid of a job's process, once it is no longer the dispatcher that holds its lock."""
    books, end = Books(lab), time.monotonic() + 400
    while (pid := books.alive(job.id)) in (None, books.dispatcher()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return pid


def test_how_long_an_audit_takes_is_known_before_it_is_begun(lab):
    base, seconds = "smollm2-135m", costs.seconds
    assert seconds("tiny-a", MANY) is None and "minutes, once" in costs.words(
        "tiny-a", ["trees"], False, False
    )
    plain, quick = seconds(base, ["trees"]), seconds(base, ["trees"], quick=True)
    assert 3_600 < plain < 12 * 3_600 and quick < 0.7 * plain, "a first look is less work there too"
    assert quick < seconds(base, ["trees"], quick=True, probes=True) and plain < seconds(base, MANY)
    # Fewer rows and shorter ones; all of them once more, where they are cleaned; what is no Parquet.
    few, long = ROWS[: len(ROWS) // 3], ROWS.replace(b"Continue", b"Continue" * 200)
    sizes = [seconds(base, ["trees"], content=rows) for rows in (few, ROWS, long)]
    assert sizes == sorted(set(sizes)) and seconds(base, ["trees"], content=b"PAR1" + ROWS) == plain
    assert seconds(base, ["trees"], content=ROWS * 9, scored=True) > seconds(
        base, ["trees"], content=ROWS * 9
    )
    assert "hours" in costs.words(base, ["trees"], False, False) and "minutes" not in costs.words(
        base, ["trees"], False, False
    )
    asked = {"base": base, "families": ["trees"]}
    assert checked(lab, "audit", asked, ADA, Upload("rows.jsonl", ROWS)).base == base


def test_a_first_look_changes_a_bases_own_defaults():
    look = lambda base, probes=False: asked_spec(base, ["trees"], probes, QUICK)
    tiny, real, probed = look("tiny-a"), look("smollm2-135m"), look("smollm2-135m", True)
    assert (tiny.null.teachers, tiny.suspects.steps, tiny.suspects.members) == (2, 60, 1)
    whole = asked_spec("smollm2-135m", ["trees"])
    assert real.null.corpora == 0 < whole.null.corpora and (real.suspects.steps, real.suspects.members) == (
        whole.suspects.steps,
        1,
    )
    assert (whole.lines, real.lines, probed.lines) == ("fast", "fast", "all")


def test_few_may_wait(lab, monkeypatch):
    """Jobs that wait are bounded by visitor; who waits can cancel."""
    asked = lambda n: AUDIT | {"families": [["trees"], ["animals"]][n % 2]}
    send = lambda n, owner: jobs.submit(lab, "audit", asked(n), owner, Upload("rows.jsonl", ROWS))
    first = send(0, ADA)
    wait(lab, first.id, "running")
    started = [send(n, f"{n:032d}") for n in range(2)]
    monkeypatch.setattr(jobs, "LIMITS", jobs.LIMITS.__class__(queue=2, queue_of_one=1))
    with pytest.raises(InputError, match="wait already"):
        send(0, BOB)
    for n, one in enumerate(started):
        jobs.cancel(lab, one.id, f"{n:032d}")
        wait(lab, one.id, "cancelled")
    jobs.cancel(lab, first.id, ADA)
    wait(lab, first.id, "cancelled")


def test_the_size_of_jobs_is_known_while_others_write(lab, monkeypatch):
    books, one = Books(lab), "0" * 24
    assert books.size() == 0
    books.folder(one).mkdir(parents=True)
    (books.folder(one) / "rows.jsonl").write_bytes(bytes(9))
    (books.folder(one) / "gone").symlink_to("nowhere")
    books.write_progress(one, {})
    stat = os.stat

    def renamed(path, *args, **options):
        """Once it has been looked at, it is there no more."""
        found = stat(path, *args, **options)
        if str(path).endswith("progress.json"):
            os.unlink(path)
        return found

    monkeypatch.setattr(os, "stat", renamed)
    assert books.size() == 9 + len("{}")
    assert books.size() == 9


def test_the_examples_that_ship_are_whole():
    for kind in reviewed.KINDS:
        assert reviewed.examples(kind), kind
        for one in reviewed.examples(kind):
            seen = reviewed.opened(Lab("nowhere"), one.id, kind)
            assert seen.words and seen.result


COUNT = """
import time
from typing import Annotated, ClassVar
from pydantic import Field
from subliminal_mlx.jobs.request import Request
from subliminal_mlx.system import locks
from subliminal_mlx.system.errors import InputError
from subliminal_mlx.system.events import Event

class Count(Request):
    kind: ClassVar[str] = "count"
    takes_file: ClassVar[bool] = True
    smaller: ClassVar[str] = "fewer words"
    words: Annotated[list[str], Field(min_length=1, max_length=9)]

    def title(self, sender):
        return f"Counting {len(self.words)} words"

    def check(self, sender):
        if "owl" in self.words:
            raise InputError("count: no owls")

    def seconds(self, sender):
        return 1e9 if "all" in self.words else 1.0

    def compute(self, work):
        work.on_event(Event("words", len(self.words), len(self.words)))
        work.write({"words": len(self.words), "bytes": len(work.sent.read_bytes())})
        return f"{len(self.words)} words"
"""


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """A kind from outside the package, as one that is installed beside it: one file, and a line that names it."""
    place, about = tmp_path / "site", tmp_path / "site" / "counting-1.dist-info"
    about.mkdir(parents=True)
    (place / "counting.py").write_text(COUNT)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{kinds.GROUP}]\ncount = counting:Count\n")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONPATH", str(place))
    yield
    kinds.kind_of.cache_clear()


def test_a_kind_from_outside_runs_to_its_end_in_its_own_process(lab, counting, one_line):
    rows = Upload("rows.jsonl", ROWS)
    for values, says in (
        ({"words": []}, "count: words"),
        ({"words": ["owl"]}, "no owls"),
        ({"words": ["all"]}, "hours, at most 12 from an app: fewer words"),
        ({"words": ["a"], "more": 1}, "no such field"),
    ):
        with pytest.raises(InputError) as error:
            jobs.submit(lab, "count", values, ADA, rows)
        assert says in one_line(error)
    job = jobs.submit(lab, "count", {"words": ["one", "two"]}, ADA, rows)
    seen = wait(lab, job.id, "done", "failed")
    assert (seen.state, seen.message, seen.job.title) == ("done", "2 words", "Counting 2 words")
    assert seen.progress["stages"] == {"models": {"done": 1, "total": 1}, "words": {"done": 2, "total": 2}}
    found = json.loads((Books(lab).result(job.id) / "result.json").read_text())
    assert found == {"words": 2, "bytes": len(ROWS)}
    assert [one.id for one in jobs.listing(lab, "count", ADA)] == [job.id]
    # What lies in a job's file is checked again there: a record that was forged does not get through.
    path = Books(lab).folder(job.id) / "job.json"
    idle(lab)
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"state": "queued", "values": {"words": ["owl"]}})
    )
    assert jobs.wake(lab) and wait(lab, job.id, "failed").message == "count: no owls"
    # A kind that is not there any more cannot be started.
    idle(lab)
    path.write_text(path.read_text().replace('"count"', '"exec"').replace('"failed"', '"queued"'))
    assert jobs.wake(lab) and "there are run, defend" in wait(lab, job.id, "failed").message


def test_pages_and_terminals_stand_in_one_line_in_order_of_arrival(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("SUBLIMINAL_LINE", str(tmp_path / "line"))
    with line.turn(lab, "f" * 12, "a terminal's run", pytest.fail):
        first = jobs.submit(lab, "audit", AUDIT, ADA, Upload("rows.jsonl", ROWS))
        ticket = line.Ticket(lab, "e" * 24, "a terminal's audit", kind="audit")
        last = jobs.submit(lab, "audit", AUDIT | {"families": ["animals"]}, BOB, Upload("rows.jsonl", ROWS))
        while len(line.waiting()) < 3:
            time.sleep(0.02)
        assert [(job.kind, job.title, job.state, job.owner) for job in jobs.queue(lab)] == [
            ("run", "a terminal's run", "running", ""),
            ("audit", "rows.jsonl", "queued", ADA),
            ("audit", "a terminal's audit", "queued", ""),
            ("audit", "rows.jsonl", "queued", BOB),
        ]
        assert [jobs.view(lab, one).position for one in (first.id, "e" * 24, last.id)] == [1, 2, 3]
        with pytest.raises(InputError, match="neither queued nor running from this app"):
            jobs.cancel(lab, "e" * 24, "")
    # The terminal's run has ended: the page's audit has the machine, and the terminal's waits for it.
    wait(lab, first.id, "running")
    assert ticket.call() is None and line.computing().job_id == first.id
    jobs.cancel(lab, first.id, ADA)
    while (machine := ticket.call()) is None:
        time.sleep(0.02)
    assert jobs.view(lab, last.id).state == "queued" and jobs.view(lab, last.id).position == 2
    jobs.cancel(lab, last.id, BOB)
    ticket.drop()
    locks.release(machine)
    assert wait(lab, first.id, "cancelled") and wait(lab, last.id, "cancelled")


def test_a_defence_bench_is_asked_for_and_computed(lab, one_line):
    (lab / "x.toml").write_text("")
    for values, says in (
        ({"run": "../x.toml"}, "must be 12 characters"),
        ({"run": "f" * 12}, "not in this lab"),
        ({"run": "glance", "defences": ["mine.py"]}, "none of an app's"),
        ({"run": "glance", "defences": [f"mix-{n}" for n in range(10, 16)]}, "at most 5"),
        ({"run": "glance", "defences": []}, "defences"),
        ({"run": "qwen2.5-0.5b", "defences": ["re-emit"]}, "is not here"),
        ({"run": "glance", "kinds": ["both"]}, "kinds"),
    ):
        with pytest.raises(InputError) as error:
            jobs.submit(lab, "defend", values, ADA)
        assert says in one_line(error)
    # A run of the terminal's may have a user's file: no visitor has it run once more.
    own = lab / "mine.py"
    own.write_text(f"open({str(lab / 'ran')!r}, 'w')\ndef drop(row):\n    return None\n")
    text = f'{mini.OTHER}filter = {{rules = ["{own}"]}}\n'
    Lab(lab).start_run("b" * 12, "", text, "{}", {"machine": "this one"})
    with pytest.raises(InputError) as error:
        jobs.submit(lab, "defend", {"run": "b" * 12, "defences": ["mix-25"]}, ADA)
    assert "filter.rules" in one_line(error) and not (lab / "ran").exists()
    assert not (lab / "jobs").exists()
    text = mini.OTHER.replace("chains = 2", "chains = 1")
    Lab(lab).start_run("a" * 12, "", text, "{}", {"machine": "this one"})
    job = jobs.submit(lab, "defend", {"run": "a" * 12, "defences": ["mix-25"]}, ADA)
    seen = wait(lab, job.id, "done", "failed")
    assert seen.state == "done" and job.is_long, seen
    found = json.loads((Books(lab).result(job.id) / "result.json").read_text())
    assert {row["arm"] for row in found["defences"]} == {"treated", "mix-25", "mix-25-random"}
    assert found["run"] in seen.message and Lab(lab).run(found["run"])["status"] == "done"
    assert seen.progress["stages"]["teachers"]["total"] > 0
    assert "<svg" in (Books(lab).result(job.id) / "defences.svg").read_text()


def old_review(lab, name, **fields):
    """A review's folder as labs had it before jobs."""
    told = {"id": name, "kind": "measure", "title": "mine", "owner": ADA, "created": 5.0, "values": {}}
    told |= {"state": "queued", "message": "", "seconds": 0.0, "cancelled": False} | fields
    (lab / "reviews" / name).mkdir(parents=True)
    (lab / "reviews" / name / "review.json").write_text(json.dumps(told))
    return lab / "reviews" / name


def test_a_lab_of_before_opens_and_answers(lab, adapter):
    store, names = Lab(lab), [digit * 24 for digit in "123456"]
    folder = put(lab, adapter)
    asked = {"run": "", "slot": "", "folder": folder, "against": "tiny-a", "families": ["trees"]}
    done = old_review(lab, names[0], state="done", message="nothing flagged", values=asked)
    shutil.copytree(reviewed.EXAMPLES / "student" / "result", done / "result")
    killed = old_review(lab, names[1])
    (killed / "progress.json").write_text(json.dumps({"seconds": 3.0, "stages": [["models", 1, 2]]}))
    old_review(lab, names[2], cancelled=True)
    old_review(lab, names[3], values=asked)
    (old_review(lab, names[4]) / "review.json").write_text('{"id": 7}')
    text = mini.OTHER.replace("chains = 2", "chains = 1")
    run_id = checked_spec(lab, text)[1]
    (lab / "queue").mkdir()
    told = {"run_id": run_id, "title": "Old", "state": "cancelled", "created": 7.0, "owner": BOB, "number": 9}
    (lab / "queue" / f"{run_id}.json").write_text(json.dumps(told | {"spec_toml": text, "message": ""}))

    # By their addresses, as they were.
    assert reviewed.opened(store, names[0], "measure").words == "nothing flagged"
    assert reviewed.standing(store, names[0], "measure").state == "done"
    states = [jobs.view(lab, name).state for name in names[1:]]
    assert states == ["interrupted", "cancelled", "queued", "empty", "empty"]
    assert "was killed" in reviewed.sentence(jobs.view(lab, names[1]))
    assert jobs.view(lab, run_id).state == "cancelled" and jobs.view(lab, run_id).owner_is(BOB)
    assert {one.id for one in reviewed.listing(store, "measure", ADA)} >= set(names[:4])
    assert "it goes on when a page is opened" in reviewed.sentence(jobs.view(lab, names[3]))
    assert not (lab / "jobs").exists(), "looking changes nothing"
    # They stay their owners'.
    assert inside(lab, f"reviews/{names[0]}/result/result.json", ADA).is_file()
    with pytest.raises(InputError, match="no job of yours"):
        inside(lab, f"reviews/{names[0]}/result/result.json", BOB)
    with pytest.raises(InputError, match="nothing that can be read"):
        inside(lab, f"queue/{run_id}.json", BOB)
    for doing in (jobs.cancel, jobs.again, jobs.forget):
        with pytest.raises(InputError, match=r"somebody else|neither queued"):
            doing(lab, names[1], BOB)
    # What waited is taken, and what had ended may be started again or removed.
    assert jobs.wake(lab) and wait(lab, names[3], "done", "failed").state == "done"
    answered = reviewed.opened(store, names[3], "measure")
    assert answered.words == answered.result["words"] and answered.result["context"]["system"] is None
    jobs.again(lab, run_id, BOB)
    assert wait(lab, run_id, "done", "failed").state == "done"
    jobs.forget(lab, names[0], ADA)
    assert jobs.view(lab, names[0]).state == "empty" and not done.exists()
