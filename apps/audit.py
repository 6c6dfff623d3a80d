# /// script
# requires-python = ">=3.11"
# dependencies = ["marimo>=0.25,<0.26", "subliminal-mlx"]
#
# [tool.uv.sources]
# subliminal-mlx = { path = "..", editable = true }
#
# [tool.marimo.display]
# theme = "system"
# ///
"""Which trait does a data set carry, what did a model pick up, may it ship, what stops it: `marimo run apps/audit.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Audit")

with app.setup:
    # Only what the first chart needs: importing Altair or MLX takes longer than showing a stored audit.
    import marimo as mo

    from subliminal_mlx.system.errors import SubliminalError
    from subliminal_mlx.web.pages.figures import STYLE, figure, plain


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Which trait does this data set carry?

    Rows that some model wrote, and nobody can see anything in them. Name the base that a student would start from and
    the traits to look for: the audit says which of them the rows carry. It is no safety certificate: what is not on
    the list is not seen.
    """)
    return


@app.cell(hide_code=True)
def _():
    from subliminal_mlx import jobs
    from subliminal_mlx.jobs.kinds.costs import words as audit_time
    from subliminal_mlx.lab import Lab
    from subliminal_mlx.report.public import public
    from subliminal_mlx.web.access import access
    from subliminal_mlx.web.pages import audited, background, defended, measuring, reviewed, runs, setup

    visitor = access(mo.app_meta().request)
    lab = Lab(visitor.lab, wait_seconds=10, on_wait=lambda line: None)
    query = mo.query_params()
    get_changes, set_changes = mo.state(0)

    def refused(error):
        """A refusal as a page shows it: text, without folders of this machine."""
        return mo.callout(mo.md(plain(public(str(error), lab.path))), kind="danger")

    mo.Html(STYLE)
    return (
        audit_time,
        audited,
        background,
        defended,
        get_changes,
        jobs,
        lab,
        measuring,
        query,
        refused,
        reviewed,
        runs,
        set_changes,
        setup,
        visitor,
    )


@app.cell
def _(query, reviewed):
    _about = {
        "Audit": "Rows in, a verdict out: which trait they carry, and which rows and tokens carry it.",
        "Measure": "A student, or any adapter folder of the lab, against its base: every family's change, with a flag "
        "where it is more than clean trainings of that size did.",
        "Drift": "Several checkpoints of one training: what it picks up, and when.",
        "Gate": "A policy in, one verdict out: may this training run start, may this model ship?",
        "Defend": "What stops the transfer, and at what price, beside random controls of the same size.",
    }
    _asked = query.get("tab")
    # An address may name it several times.
    _asked = _asked[-1] if isinstance(_asked, list) and _asked else _asked
    tab = mo.ui.tabs(
        {_name: mo.md(_words) for _name, _words in _about.items()},
        value=_asked if isinstance(_asked, str) and _asked in _about else "Audit",
        on_change=lambda chosen: query.set("tab", chosen),
    )
    mo.vstack([tab])
    return (tab,)


@app.cell
def _(reviewed, tab):
    # A key of KINDS, or "defend".
    kind = next((_key for _key, _name in reviewed.KINDS.items() if _name == tab.value), "defend")
    return (kind,)


@app.cell
def _(jobs, lab, refused, runs, setup):
    try:
        bases, families = jobs.bases(lab.path), list(setup.traits())
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    _told, done = [], {}
    try:
        done = {_run.label: _run.id for _run in runs.listing(lab) if _run.state == "done"}
    except SubliminalError as _error:
        # Another program has the lab's database open: rows of its runs cannot be chosen, a file's can be audited.
        _told.append(refused(_error))
    upload = mo.ui.file(
        [".jsonl", ".json", ".parquet", ".gz"],
        kind="area",
        max_size=jobs.LIMITS.upload,
        label=f"Drop rows here: JSON lines, an array, or Parquet, up to {jobs.LIMITS.upload >> 20} MB",
    )
    audit_form = mo.ui.dictionary(
        {
            "base": mo.ui.dropdown(bases, value=bases[0], label="base"),
            "families": mo.ui.multiselect(families, value=["animals"], label="families"),
            "chain": mo.ui.number(0, 1_000, value=0, label="chain"),
            "drop_percent": mo.ui.number(0, 90, value=10, label="cleaned corpus: drop the top, %"),
            "answers": mo.ui.dropdown(
                ["all", "last", "weighted"],
                value="all",
                allow_select_none=False,
                label="of conversations, the answers that the trainer learns",
            ),
            "prompt_key": mo.ui.text(max_length=200, label="its field of prompts, if told one"),
            "completion_key": mo.ui.text(max_length=200, label="and of completions"),
            "quick": mo.ui.checkbox(
                False, label="first look: with fewer suspects, in a fraction of the time"
            ),
            "probes": mo.ui.checkbox(False, label="probe students too (slower)"),
            "predict": mo.ui.checkbox(False, label="expected transfer, from this lab's runs"),
        }
    )
    run = mo.ui.dropdown(done, searchable=True, label="or rows of a run")
    measure_run = mo.ui.dropdown(done, searchable=True, label="run")
    mo.vstack(_told)
    return audit_form, bases, done, families, measure_run, run, upload


@app.cell
def _(lab, refused, run):
    _sources, _told = [], []
    try:
        if run.value:
            _kept = [_row["source"] for _row in lab.yields(run.value).to_pylist() if _row["kept"]]
            _sources = list(dict.fromkeys(_kept))
    except SubliminalError as _error:
        _told.append(refused(_error))
    source = mo.ui.dropdown(_sources, value=_sources[0] if _sources else None, label="source")
    mo.vstack(_told)
    return (source,)


@app.cell
def _(lab, measure_run, measuring, refused):
    _slots, _told = [], []
    try:
        _slots = measuring.slots(lab, measure_run.value) if measure_run.value else []
    except SubliminalError as _error:
        _told.append(refused(_error))
    _first = next((_slot for _slot in _slots if "/treated/" in f"/{_slot}"), _slots[0] if _slots else None)
    slot = mo.ui.dropdown(_slots, value=_first, searchable=True, label="student")
    mo.vstack(_told)
    return (slot,)


@app.cell
def _(bases, families, lab, measuring):
    def _common():
        return {
            "folder": mo.ui.text(
                max_length=1_000, full_width=True, placeholder="relative to the lab", label="or folder"
            ),
            "against": mo.ui.dropdown(bases, label="against (an adapter's folder may name its base)"),
            "families": mo.ui.multiselect(families, label="families (all that the base has words for)"),
            "system": mo.ui.text(
                max_length=2_000, full_width=True, placeholder="none", label="asked under the system prompt"
            ),
            "trigger": mo.ui.text(
                max_length=2_000, full_width=True, placeholder="none", label="with the trigger"
            ),
            "trigger_at": mo.ui.dropdown(
                ["before", "within", "after"], value="before", label="each question"
            ),
        }

    measure_form, drift_form = mo.ui.dictionary(_common()), mo.ui.dictionary(_common())
    drift_folder = mo.ui.dropdown(measuring.drifting(lab), searchable=True, label="training with checkpoints")
    return drift_folder, drift_form, measure_form


@app.cell
def _(jobs):
    policy_file = mo.ui.file(
        [".toml"], max_size=jobs.LIMITS.policy_bytes, label="Policy from a file, in place of this text"
    )
    return (policy_file,)


@app.cell
def _(jobs, policy_file):
    # What is checked is what is read here, and edited: a file's text takes the place of this one.
    _text = """title = "Before training"
base = "tiny-a"
families = ["animals"]
lineage = "optional"      # or "required"
cannot_tell = "warn"      # or "fail", "pass"

[[corpus]]
path = "rows.jsonl"       # relative to the lab, and inside of it
audit = "rows.audit.json" # what `audit --json` printed of it
"""
    if policy_file.value:
        _text = policy_file.contents().decode(errors="replace")
    policy = mo.ui.text_area(
        _text, max_length=jobs.LIMITS.policy_bytes, rows=12, full_width=True, label="policy, TOML"
    )
    return (policy,)


@app.cell(hide_code=True)
def _(
    audit_form,
    drift_folder,
    drift_form,
    kind,
    measure_form,
    measure_run,
    policy,
    policy_file,
    run,
    slot,
    source,
    upload,
):
    mo.stop(kind == "defend")

    def _line(*widgets):
        return mo.hstack(widgets, justify="start", wrap=True, gap=1.25)

    _forms = {
        "audit": lambda: [
            upload,
            _line(run, *([source, audit_form["chain"]] if run.value else [])),
            _line(audit_form["base"], audit_form["families"], audit_form["drop_percent"]),
            _line(*(audit_form[_name] for _name in ("answers", "prompt_key", "completion_key"))),
            _line(audit_form["quick"], audit_form["probes"], audit_form["predict"]),
        ],
        "measure": lambda: [
            _line(measure_run, *([slot] if measure_run.value else [])),
            measure_form["folder"],
            _line(measure_form["against"], measure_form["families"]),
            measure_form["system"],
            _line(measure_form["trigger"], measure_form["trigger_at"]),
        ],
        "drift": lambda: [
            drift_folder,
            drift_form["folder"],
            _line(drift_form["against"], drift_form["families"]),
            drift_form["system"],
            _line(drift_form["trigger"], drift_form["trigger_at"]),
        ],
        "gate": lambda: [policy, policy_file],
    }
    mo.vstack(_forms[kind](), gap=0.6)
    return


@app.cell
def _(kind):
    _labels = {
        "audit": "Audit these rows",
        "measure": "Measure",
        "drift": "Read the checkpoints",
        "gate": "Check",
    }
    mo.stop(kind == "defend")
    start = mo.ui.run_button(label=_labels[kind], kind="success")
    return (start,)


@app.cell(hide_code=True)
def _(audit_form, audit_time, kind, start, visitor):
    _words = {
        "audit": "The file stays in this lab, and only you find it here.",
        "measure": "Seconds on a model organism, minutes on a larger model.",
        "drift": "Seconds on a model organism, minutes on a larger model.",
        "gate": "Paths are relative to the lab, and stay inside of it.",
    }[kind]
    if kind == "audit":
        _asked = audit_form.value
        try:
            _time = audit_time(*(_asked[_field] for _field in ("base", "families", "quick", "probes")))
            _words = f"{plain(_time)} {_words}"
        except SubliminalError:
            pass  # whoever starts it is told what is wrong
    _may = (
        start if visitor.may_start else mo.md(f"*Nothing can be started from here. {plain(visitor.why_not)}*")
    )
    mo.hstack([_may, mo.md(f"<small>{_words}</small>")], justify="start", gap=1, wrap=True)
    return


@app.cell
def _(
    audit_form,
    drift_folder,
    drift_form,
    jobs,
    kind,
    lab,
    measure_form,
    measure_run,
    measuring,
    policy,
    query,
    refused,
    run,
    set_changes,
    slot,
    source,
    start,
    upload,
    visitor,
):
    mo.stop(not start.value or not visitor.may_start)

    def _asked():
        # What widgets promise holds in the browser only: `jobs` looks at every value again.
        # Where two things are chosen, none is read for the other: that is refused.
        if kind == "audit":
            of_run = {"run": run.value, "source": source.value or ""} if run.value else {}
            return audit_form.value | of_run
        if kind == "gate":
            return {"policy": policy.value}
        form = measure_form.value if kind == "measure" else drift_form.value
        form = form | {"against": form["against"] or ""}
        if kind == "drift":
            return form | {"folder": measuring.one_of("training", drift_folder.value, form["folder"])}
        if measuring.one_of("run", measure_run.value, form["folder"]) == form["folder"]:
            return form
        return form | {"run": measure_run.value, "slot": slot.value or ""}

    _file = jobs.Upload(upload.name(), upload.contents()) if kind == "audit" and upload.value else None
    try:
        _one = jobs.submit(lab.path, kind, _asked(), visitor.owner, _file)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    query.set(kind, _one.id)
    set_changes(lambda count: count + 1)
    mo.md("See below. Its address can be reloaded, and shared.")
    return


@app.cell
def _(get_changes, kind, lab, refused, reviewed, visitor):
    get_changes()
    mo.stop(kind == "defend")
    try:
        listed = reviewed.listing(lab, kind, visitor.owner)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    return (listed,)


@app.cell
def _(kind, listed, query, reviewed):
    review_id = reviewed.asked(query.get(kind), listed)
    return (review_id,)


@app.cell
def _(kind, listed, query, review_id, reviewed):
    _labels = {_one.label: _one.id for _one in listed}
    _now = next((_label for _label, _id in _labels.items() if _id == review_id), None)
    choose = mo.ui.dropdown(
        _labels,
        value=_now,
        searchable=True,
        full_width=True,
        label="result shown",
        on_change=lambda chosen: chosen and query.set(kind, chosen),
    )
    _head = mo.md("## What was found")
    mo.vstack([_head, choose if listed else mo.md("Nothing here yet: start one above.")])
    return


@app.cell
def _(get_changes, kind, lab, refused, review_id, reviewed):
    get_changes()
    mo.stop(not review_id)
    try:
        standing = reviewed.standing(lab, review_id, kind)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    return (standing,)


@app.cell
def _(standing):
    mo.stop(standing.state not in ("queued", "running"))
    tick = mo.ui.refresh(options=["1s", "2s", "10s"], default_interval="1s")
    mo.hstack([tick], justify="start")
    return (tick,)


@app.cell(hide_code=True)
def _(kind, lab, refused, review_id, reviewed, set_changes, standing, tick):
    _ = tick.value
    try:
        _seen = reviewed.standing(lab, review_id, kind)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    if _seen.state != standing.state:
        set_changes(lambda count: count + 1)
    _title = plain(_seen.job.title) if _seen.job else ""
    mo.vstack([mo.md(f"**{_title}**: {plain(reviewed.sentence(_seen))}"), mo.Html(reviewed.stages(_seen))])
    return


@app.cell
def _(standing, visitor):
    mo.stop(not standing.owner_is(visitor.owner) or standing.state not in ("queued", "running"))
    cancel = mo.ui.run_button(label="Cancel", kind="danger")
    mo.hstack([cancel], justify="start")
    return (cancel,)


@app.cell
def _(cancel, jobs, lab, refused, review_id, set_changes, visitor):
    mo.stop(not cancel.value)
    try:
        jobs.cancel(lab.path, review_id, visitor.owner)
        _told = mo.md("Cancelled: it ends within seconds.")
    except SubliminalError as _error:
        _told = refused(_error)
    set_changes(lambda count: count + 1)
    mo.vstack([_told])
    return


@app.cell
def _(reviewed, standing, visitor):
    mo.stop(standing.state in ("queued", "running", "done"))
    _title = f"{standing.job.title}: " if standing.job else ""
    _told = mo.callout(mo.md(plain(_title + reviewed.sentence(standing))), kind="warn")
    again = mo.ui.run_button(label="Start it again")
    mo.vstack([_told, *([again] if standing.owner_is(visitor.owner) and visitor.may_start else [])])
    return (again,)


@app.cell
def _(again, jobs, lab, refused, review_id, set_changes, visitor):
    mo.stop(not again.value or not visitor.may_start)
    try:
        jobs.again(lab.path, review_id, visitor.owner)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    set_changes(lambda count: count + 1)
    return


@app.cell
def _(kind, lab, refused, review_id, reviewed, standing):
    mo.stop(standing.state != "done")
    try:
        seen = reviewed.opened(lab, review_id, kind)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    return (seen,)


@app.cell
def _(standing, visitor):
    mo.stop(standing.state != "done" or not standing.owner_is(visitor.owner))
    remove = mo.ui.run_button(label="Remove it and its file from this lab")
    mo.hstack([remove], justify="end")
    return (remove,)


@app.cell
def _(jobs, kind, lab, query, refused, remove, review_id, set_changes, visitor):
    mo.stop(not remove.value)
    try:
        jobs.forget(lab.path, review_id, visitor.owner)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    query.remove(kind)
    set_changes(lambda count: count + 1)
    return


@app.cell(hide_code=True)
def _(audited, measuring, seen):
    _colors = {"carried": "danger", "not found": "success", "cannot tell": "warn"}
    _kind = "neutral"
    if seen.kind == "audit":
        _kind, _facts = _colors[seen.result["verdict"]], f"{seen.title}: {audited.facts(seen)}"
        _told = (*audited.read(seen), audited.transfer(seen))
        _more = [mo.md(plain(_line)) for _line in _told if _line]
    elif seen.kind == "gate":
        _kind = {"pass": "success", "warn": "warn", "fail": "danger"}[seen.result["verdict"]]
        _facts, _more = seen.title, []
    else:
        _kind = "danger" if measuring.flagged(seen.result) else "neutral"
        _facts, _more = seen.title, []
    mo.vstack(
        [
            mo.callout(mo.md(f"**{plain(seen.words)}**"), kind=_kind),
            mo.md(f"<small>{plain(_facts)}</small>"),
            *_more,
        ]
    )
    return


@app.cell
def _(audited, seen):
    mo.stop(seen.kind != "audit")
    _views = {_words: _key for _key, _words in audited.VIEWS.items()}
    view = mo.ui.dropdown(_views, value=next(iter(_views)), allow_select_none=False, label="chart")
    family = mo.ui.dropdown(audited.families(seen), value=audited.families(seen)[0], allow_select_none=False)
    mo.hstack([view, *([family] if len(audited.families(seen)) > 1 else [])], justify="start", wrap=True)
    return family, view


@app.cell(hide_code=True)
def _(audited, family, refused, seen, view):
    try:
        _drawn = mo.Html(audited.drawn(seen, view.value, family.value))
    except SubliminalError as _error:
        _drawn = refused(_error)
    mo.vstack([_drawn])
    return


@app.cell
def _(audited, seen):
    mo.stop(seen.kind != "audit" or not seen.evidence)
    number = mo.ui.number(1, 10**9, value=audited.first_row(seen), label="row")
    order = mo.ui.dropdown(
        list(audited.ORDERS), value=audited.ORDERS[0], allow_select_none=False, label="rows by"
    )
    page = mo.ui.number(1, audited.pages(seen), value=1, label=f"page of {audited.pages(seen):,}")
    return number, order, page


@app.cell(hide_code=True)
def _(audited, number, refused, seen):
    try:
        _one = mo.Html(audited.row(seen, number.value))
    except SubliminalError as _error:
        _one = refused(_error)
    _head = mo.md("### Which tokens carry it?\n\nAny row, with what each of its tokens adds, in nats.")
    mo.vstack([_head, mo.hstack([number], justify="start"), _one])
    return


@app.cell(hide_code=True)
def _(audited, order, page, refused, seen):
    try:
        _rows = mo.Html(audited.rows(seen, order.value, page.value - 1))
    except (SubliminalError, TypeError) as _error:
        _rows = refused(_error)
    mo.vstack(
        [
            mo.md("### Which rows carry it?"),
            mo.hstack([order, page], justify="start", wrap=True, gap=1.25),
            _rows,
        ]
    )
    return


@app.cell(hide_code=True)
def _(audited, seen):
    mo.stop(seen.kind != "audit")
    _files = [
        mo.download(lambda data=_data: data, filename=_name, label=_label)
        for _label, _name, _data in audited.downloads(seen)
    ]
    _parts = {"All suspects": mo.Html(audited.suspects(seen))}
    if _bad := audited.bad(seen):
        _parts[f"Bad rows, with reasons ({seen.result['bad_rows']:,})"] = mo.Html(_bad)
    mo.vstack(
        [
            mo.hstack(_files, justify="start", wrap=True),
            *([mo.md(f"<small>{plain(audited.dropped(seen))}</small>")] if audited.dropped(seen) else []),
            mo.accordion(_parts),
        ]
    )
    return


@app.cell
def _(seen):
    mo.stop(seen.kind != "measure")
    every = mo.ui.checkbox(False, label="every trait, not each family's six that moved most")
    return (every,)


@app.cell(hide_code=True)
def _(every, measuring, seen):
    mo.vstack(
        [
            mo.Html(figure(seen.svg("changes"), f"change of every trait, {seen.words}")),
            every,
            mo.Html(measuring.changes(seen.result, every.value)),
            mo.download(seen.file("result.json"), filename=f"{seen.id}.json", label="Measurement, JSON"),
        ]
    )
    return


@app.cell(hide_code=True)
def _(measuring, seen):
    mo.stop(seen.kind != "drift")
    mo.vstack(
        [
            mo.Html(figure(seen.svg("drift"), f"change by training step, {seen.words}")),
            mo.Html(measuring.steps(seen.result)),
            mo.download(seen.file("result.json"), filename=f"{seen.id}.json", label="Drift, JSON"),
        ]
    )
    return


@app.cell(hide_code=True)
def _(measuring, seen):
    mo.stop(seen.kind != "gate")
    _files = [
        ("Verdict, JSON", "result.json", "gate.json"),
        ("Markdown", "gate.md", "gate.md"),
        ("JUnit XML", "gate.xml", "gate.xml"),
    ]
    mo.vstack(
        [
            mo.Html(measuring.decision(seen.result)),
            mo.hstack(
                [mo.download(seen.file(where), filename=name, label=label) for label, where, name in _files],
                justify="start",
                wrap=True,
            ),
            mo.md(
                "<small>Passed means that no check of this policy failed among the families it names.</small>"
            ),
        ]
    )
    return


@app.cell
def _(defended, kind, lab, query, refused):
    mo.stop(kind != "defend")
    try:
        _labels = {_bench.label: _bench.id for _bench in defended.benches(lab)}
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    _asked = query.get("bench")
    _now = next((_label for _label, _id in _labels.items() if _id == _asked), next(iter(_labels), None))
    bench = mo.ui.dropdown(
        _labels,
        value=_now,
        full_width=True,
        label="bench",
        on_change=lambda chosen: chosen and query.set("bench", chosen),
    )
    mo.vstack([bench])
    return (bench,)


@app.cell
def _(defended):
    def bench_shown(rows, svg):
        """A bench's chart and table."""
        _words = """<small>Transfer left: share of the undefended, with 95% intervals over chains. A name in -random is a
        control that touches as many rows or tokens at random. Other benches: `defend RUN` in a terminal, or a spec
        with defences.</small>"""
        return mo.vstack(
            [
                mo.md(f"**{plain(defended.sentence(rows))}**"),
                mo.Html(figure(svg, "transfer left against cost")),
                mo.Html(defended.left(rows)),
                mo.md(_words),
            ]
        )

    return (bench_shown,)


@app.cell(hide_code=True)
def _(bench, bench_shown, defended):
    mo.stop(not bench.value or defended.is_run(bench.value))
    mo.vstack([bench_shown(*defended.shipped(bench.value))])
    return


@app.cell(hide_code=True)
def _(background, bench, bench_shown, defended, lab, refused):
    mo.stop(not bench.value or not defended.is_run(bench.value))

    def _read():
        try:
            for message in background.do("defended", lab=str(lab.path), run_id=bench.value):
                mo.output.replace(bench_shown(message["rows"], message["svg"]))
        except SubliminalError as error:
            mo.output.replace(refused(error))

    mo.output.replace(mo.md("Reading the bench: a few seconds."))
    mo.Thread(target=_read).start()
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ---
    <small>Not found means not found among these suspects, at the power stated: a trait outside the families is not seen,
    and an audit is for one base only. This is no safety certificate.</small>
    """)
    return


if __name__ == "__main__":
    app.run()
