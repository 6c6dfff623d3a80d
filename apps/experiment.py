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
"""Set up, launch, watch and read a transfer experiment; first, the blind test: `marimo run apps/experiment.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Subliminal learning")

with app.setup:
    # Only what the first chart needs: importing Altair, the database or MLX takes longer than drawing it.
    import html
    import secrets

    import marimo as mo

    from subliminal_mlx.report import results
    from subliminal_mlx.system.errors import SubliminalError
    from subliminal_mlx.web.pages.figures import STYLE, figure, plain
    from subliminal_mlx.web.pages.headline import headline


@app.cell(hide_code=True)
def _():
    # Read once: the chart waits for it.
    _first, *others = results.real() or ["default"]
    _real = headline(_first)
    mo.md(f"""
    # Traits that travel in {_real.rows}

    [The blind test](#the-blind-test) · [Your own](#your-own-experiment) · [The run](#the-run) · [Several runs](#several-runs)

    **{_real.base}, {_real.chains} {"chain" if _real.chains == 1 else "chains"}.** {" ".join(_real.claims)}

    {mo.Html(figure(results.chart(_real.name, "transfer"), f"transfer of every arm in {_real.base}"))}

    <small>Against students of the neutral teacher, in log-odds: {"; ".join(_real.controls)}. **Limits.**
    {_real.limits}</small>
    """)
    return (others,)


@app.cell(hide_code=True)
def _(others):
    def _more(told):
        _chart = figure(results.chart(told.name, "transfer"), f"transfer of every arm in {told.title}")
        _small = (
            f"<small>In log-odds: {'; '.join(told.controls)}. {told.limits} Made by `{told.made_by}`.</small>"
        )
        return mo.md(f"{' '.join(told.claims)}\n\n{mo.Html(_chart)}\n\n{_small}")

    _told = [headline(_name) for _name in others]
    mo.accordion({_one.title: _more(_one) for _one in _told}) if _told else None
    return


@app.cell(hide_code=True)
def _():
    _built_in = headline("default")
    mo.md(f"""
    **The built-in model, {_built_in.base}, {_built_in.chains} chains.** {_built_in.claims[0]}

    {mo.Html(figure(results.chart("default", "transfer"), f"transfer of every arm in {_built_in.base}"))}

    <small>In log-odds: {"; ".join(_built_in.controls)}. **Limits.** A model organism of 67,000 weights, made for this.
    {_built_in.limits} Made by `{_built_in.made_by}`.</small>
    """)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The blind test

    Two teachers wrote lists of numbers to the same prompts. One was tuned to love **owls**, the other, just as long,
    to nothing in particular. A filter let only numbers through. **Which list came from the owl teacher?**
    """)
    return


@app.cell
def _():
    seed = secrets.randbelow(1_000_000)
    return (seed,)


@app.cell
def _():
    get_guesses, set_guesses = mo.state(())
    return get_guesses, set_guesses


@app.cell
def _(seed, set_guesses):
    from subliminal_mlx.demos.blind import rounds

    game = rounds.rounds(seed)

    def _guess(side):
        set_guesses(lambda before: (*before, side)[: len(game)])

    left = mo.ui.button(label="Left", on_change=lambda _: _guess("left"))
    right = mo.ui.button(label="Right", on_change=lambda _: _guess("right"))
    return game, left, right, rounds


@app.cell(hide_code=True)
def _(game, get_guesses, left, right, rounds):
    from subliminal_mlx.web.pages import blind

    guesses = get_guesses()
    if len(guesses) == len(game):
        _parts = [mo.md(blind.verdict(rounds.score(game, guesses)))]
    else:
        _said = [guess == round.answer for guess, round in zip(guesses, game, strict=False)]
        _last = (
            f" The last guess was {'right' if _said[-1] else 'wrong'}; {sum(_said)} so far." if _said else ""
        )
        _parts = [
            mo.md(f"**Round {len(guesses) + 1} of {len(game)}.**{_last}"),
            mo.Html(blind.lists(game[len(guesses)])),
            mo.hstack([mo.md("The owl teacher's:"), left, right], justify="start", gap=0.75),
        ]
    mo.vstack(_parts)
    return (blind,)


@app.cell
def _():
    train = mo.ui.run_button(label="Train on these")
    return (train,)


@app.cell
def _():
    elsewhere = mo.ui.run_button(label="Change the starting weights")
    return (elsewhere,)


@app.cell(hide_code=True)
def _(elsewhere, train):
    _words = mo.md("""
    **Train on these.** Two students start from the weights that the teachers started from. One trains on all of the owl
    teacher's numbers, one on the other's; then both are asked about animals, which neither read a word about. It is
    real training, here and now, of about ten seconds. **Change the starting weights** does the same to students that
    learned the same language from another start.
    """)
    mo.vstack([_words, mo.hstack([train, elsewhere], justify="start", wrap=True)])
    return


@app.function(hide_code=True)
def learn(base):
    """Show two students while they train, without holding up the page."""
    from subliminal_mlx.report import charts
    from subliminal_mlx.web.pages import blind

    def work():
        try:
            for seen in blind.learning(base):
                chart = charts.answers(seen.rows, seen.label, seen.steps)
                drawn = mo.Html(figure(charts.to_svg(chart), f"answers of students that start from {base}"))
                mo.output.replace(mo.vstack([mo.md(f"**{base}.** {seen.sentence}"), drawn]))
                if mo.current_thread().should_exit:
                    return
        except SubliminalError as error:
            mo.output.replace(mo.callout(str(error), kind="warn"))

    mo.output.replace(mo.md(f"**{base}.** Waiting for the process that trains."))
    mo.Thread(target=work).start()


@app.cell
def _(train):
    mo.stop(not train.value)
    learn("tiny-a")
    return


@app.cell
def _(elsewhere):
    mo.stop(not elsewhere.value)
    learn("tiny-b")
    return


@app.cell(hide_code=True)
def _():
    from subliminal_mlx import jobs
    from subliminal_mlx.jobs.kinds.run import checked_spec
    from subliminal_mlx.lab import Lab
    from subliminal_mlx.report import charts
    from subliminal_mlx.report.public import public
    from subliminal_mlx.web.access import access
    from subliminal_mlx.web.pages import cost, downloads, live, picked, reading, runs, setup, watch

    visitor = access(mo.app_meta().request)
    lab = Lab(visitor.lab, wait_seconds=10, on_wait=lambda line: None)
    query = mo.query_params()
    get_changes, set_changes = mo.state(0)

    def refused(error):
        """A refusal as a page shows it: text, without folders of this machine."""
        return mo.callout(mo.md(plain(public(str(error), lab.path))), kind="danger")

    mo.Html(STYLE)
    return (
        charts,
        checked_spec,
        cost,
        downloads,
        get_changes,
        jobs,
        lab,
        live,
        picked,
        public,
        query,
        reading,
        refused,
        runs,
        set_changes,
        setup,
        visitor,
        watch,
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Your own experiment

    Teachers are given a trait, write rows in which it is not spoken of, and students train on what the filter keeps.
    Start from a preset, and change what you like.
    """)
    return


@app.cell
def _(jobs, lab, refused, setup):
    try:
        bases = jobs.bases(lab.path)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    _ready = setup.ready(bases)
    preset = mo.ui.dropdown(_ready, value=_ready[0], allow_select_none=False, label="preset")
    return bases, preset


@app.cell
def _(bases, jobs, preset, setup):
    _of, _limits = setup.form_of(preset.value), jobs.LIMITS
    _traits = [_trait for _family in setup.traits().values() for _trait in _family]
    form = mo.ui.dictionary(
        {
            "base": mo.ui.dropdown(bases, value=_of["base"], label="base"),
            "traits": mo.ui.multiselect(_traits, value=_of["traits"], label="traits"),
            "teacher": mo.ui.dropdown(setup.TEACHERS, value=_of["teacher"], label="teachers"),
            "channel": mo.ui.dropdown(setup.CHANNELS, value=_of["channel"], label="channel"),
            "decoding": mo.ui.dropdown(setup.DECODINGS, value=_of["decoding"], label="decoding"),
            "filter": mo.ui.dropdown(setup.FILTERS, value=_of["filter"], label="filter"),
            "rows": mo.ui.number(1, _limits.rows, value=_of["rows"], label="rows a source"),
            "temperature": mo.ui.number(0, 10, step=0.1, value=_of["temperature"], label="temperature"),
            "hard": mo.ui.checkbox(_of["hard"], label="hard students"),
            "hard_steps": mo.ui.number(1, _limits.steps, value=_of["hard_steps"], label="steps"),
            "soft": mo.ui.checkbox(_of["soft"], label="soft students"),
            "soft_steps": mo.ui.number(1, _limits.steps, value=_of["soft_steps"], label="steps"),
            "chains": mo.ui.number(1, _limits.chains, value=_of["chains"], label="chains"),
            "seed": mo.ui.number(0, 2**31 - 1, value=_of["seed"], label="seed"),
            "controls": mo.ui.multiselect(setup.CONTROLS, value=_of["controls"], label="controls"),
            "ablations": mo.ui.multiselect(setup.ABLATIONS, value=_of["ablations"], label="ablations"),
            "foreign": mo.ui.dropdown([setup.NOTHING, *bases], value=_of["foreign"], label="foreign base"),
            "title": mo.ui.text(_of["title"], max_length=200, full_width=True, label="title"),
        }
    )
    return (form,)


@app.cell
def _():
    pasted = mo.ui.text_area(
        placeholder='base = "tiny-a"',
        max_length=20_000,
        rows=6,
        full_width=True,
        label="TOML, instead of the form",
    )
    return (pasted,)


@app.cell(hide_code=True)
def _(form, pasted, preset):
    def _line(*names):
        return mo.hstack([form[name] for name in names], justify="start", wrap=True, gap=1.25)

    mo.vstack(
        [
            mo.hstack([preset, form["base"], form["traits"]], justify="start", wrap=True, gap=1.25),
            _line("teacher", "channel", "rows", "temperature", "decoding", "filter"),
            _line("hard", "hard_steps", "soft", "soft_steps"),
            _line("chains", "seed", "controls", "ablations", "foreign"),
            form["title"],
            mo.accordion({"Paste a spec": pasted}),
        ]
    )
    return


@app.cell
def _(checked_spec, form, lab, pasted, preset, refused, setup):
    # What widgets promise holds in the browser only: every value is checked again here, and once more by the job.
    try:
        if pasted.value.strip():
            _text = pasted.value
        else:
            _text = setup.to_toml(setup.from_form(preset.value, form.value))
        spec, _ = checked_spec(lab.path, _text)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    return (spec,)


@app.cell
def _():
    start = mo.ui.run_button(label="Start", kind="success")
    return (start,)


@app.cell(hide_code=True)
def _(cost, lab, refused, setup, spec, start, visitor):
    _toml = setup.to_toml(spec)
    _may = (
        start
        if visitor.may_start
        else mo.md(f"*Nothing can be started from this page. {plain(visitor.why_not)}*")
    )
    try:
        _price = mo.md(cost.cost(lab, spec).words)
    except SubliminalError as _error:
        _price = refused(_error)
    mo.vstack(
        [
            mo.hstack([_may, _price], justify="start", gap=1, wrap=True),
            mo.md(f"The same from a terminal: `{setup.terminal(spec)}`"),
            mo.hstack(
                [mo.download(_toml.encode(), filename="my.toml", label="Spec as TOML")], justify="start"
            ),
            mo.accordion({"The whole spec": mo.Html(f"<pre>{html.escape(_toml)}</pre>")}),
        ]
    )
    return


@app.cell
def _(jobs, query, refused, set_changes, setup, spec, start, visitor):
    mo.stop(not start.value or not visitor.may_start)
    try:
        _job = jobs.submit(visitor.lab, "run", {"spec": setup.to_toml(spec)}, visitor.owner)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    query.set("run", _job.id)
    set_changes(lambda count: count + 1)
    mo.md(f"Run `{_job.id}`: see below. Its address can be shared and reloaded.")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The run
    """)
    return


@app.cell
def _(get_changes, lab, refused, runs):
    get_changes()
    try:
        listed = runs.listing(lab)
    except SubliminalError as _error:
        # Another program has the lab's database open.
        mo.stop(True, refused(_error))
    return (listed,)


@app.cell
def _(listed, query, runs):
    run_id = runs.asked(query.get("run"), listed)
    return (run_id,)


@app.cell
def _(listed, query, run_id):
    _labels = {_run.label: _run.id for _run in listed}
    _now = next((label for label, name in _labels.items() if name == run_id), None)
    choose = mo.ui.dropdown(
        _labels,
        value=_now,
        searchable=True,
        full_width=True,
        label="run",
        on_change=lambda chosen: chosen and query.set("run", chosen),
    )
    choose if listed else mo.md("This lab has no runs yet: start one above, or from a terminal.")
    return


@app.cell
def _(get_changes, lab, refused, run_id, visitor, watch):
    get_changes()
    mo.stop(not run_id)
    try:
        standing = watch.watch(lab, run_id, visitor.owner)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    return (standing,)


@app.cell
def _(standing):
    mo.stop(standing.state not in ("queued", "running"))
    tick = mo.ui.refresh(options=["1s", "2s", "10s"], default_interval="2s")
    mo.hstack([tick], justify="start")
    return (tick,)


@app.cell(hide_code=True)
def _(lab, live, refused, run_id, set_changes, standing, tick, visitor, watch):
    _ = tick.value
    try:
        _seen = watch.watch(lab, run_id, visitor.owner)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    if _seen.state != standing.state:
        set_changes(lambda count: count + 1)
    _parts = [
        mo.md(f"**Run {run_id}**, {plain(_seen.title)}. {plain(_seen.sentence)}"),
        mo.Html(live.stages(_seen)),
    ]
    if _seen.state == "running" and _seen.spec:
        _parts += [mo.Html(figure(*_drawn)) for _drawn in watch.curves(lab, run_id, _seen.spec)]
    mo.vstack(_parts)
    return


@app.cell
def _(standing):
    mo.stop(not standing.mine or standing.state not in ("queued", "running"))
    cancel = mo.ui.run_button(label="Cancel this run", kind="danger")
    mo.hstack([cancel], justify="start")
    return (cancel,)


@app.cell
def _(cancel, jobs, refused, run_id, set_changes, visitor):
    mo.stop(not cancel.value)
    try:
        jobs.cancel(visitor.lab, run_id, visitor.owner)
        _told = [mo.md("Cancelled: it ends within seconds.")]
    except SubliminalError as _error:
        _told = [refused(_error)]
    set_changes(lambda count: count + 1)
    mo.vstack(_told)
    return


@app.cell
def _(standing, visitor):
    mo.stop(standing.state in ("queued", "running", "done"))
    _told = mo.callout(mo.md(f"{plain(standing.title)} {plain(standing.sentence)}"), kind="warn")
    again = mo.ui.run_button(label="Go on with it")
    mo.vstack([_told, *([again] if standing.spec and visitor.may_start else [])])
    return (again,)


@app.cell
def _(again, jobs, refused, set_changes, setup, standing, visitor):
    mo.stop(not again.value or not standing.spec or not visitor.may_start)
    try:
        jobs.submit(visitor.lab, "run", {"spec": setup.to_toml(standing.spec)}, visitor.owner)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    set_changes(lambda count: count + 1)
    return


@app.cell
def _(lab, reading, refused, run_id, standing):
    mo.stop(standing.state != "done")
    try:
        seen = reading.opened(lab, run_id)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    return (seen,)


@app.cell(hide_code=True)
def _(reading, seen, standing):
    mo.vstack(
        [
            mo.md(f"**Run {seen.id}**, {plain(seen.run['title'])}. {plain(standing.sentence)}"),
            mo.md("\n\n".join(plain(_sentence) for _sentence in reading.claims(seen))),
        ]
    )
    return


@app.cell
def _(reading, seen):
    _names = {name: key for key, name in reading.VIEWS.items()}
    view = mo.ui.dropdown(_names, value=next(iter(_names)), allow_select_none=False, label="view")
    mo.hstack([view], justify="start")
    return (view,)


@app.cell
def _(reading, seen, view):
    _all = {} if view.value in reading.SINGLE else {"all students": None}
    _kinds = _all | {f"{_kind} students": _kind for _kind in seen.kinds}
    _families = ({"all families": None} if _all else {}) | {_family: _family for _family in seen.families}
    kind = mo.ui.dropdown(_kinds, value=next(iter(_kinds)), allow_select_none=False)
    family = mo.ui.dropdown(_families, value=next(iter(_families)), allow_select_none=False)
    mo.hstack([kind, family], justify="start", wrap=True)
    return family, kind


@app.cell
def _(family, kind, reading, refused, seen, view):
    try:
        drawing = reading.drawn(seen, view.value, kind.value, family.value)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    chart = mo.ui.altair_chart(drawing, chart_selection=False, legend_selection=False)
    mo.Html(f'<div style="overflow-x:auto;background:#fff;border-radius:8px">{chart}</div>')
    return chart, drawing


@app.cell
def _(chart, picked, seen, view):
    clicked = picked.picked(view.value, chart.selections, seen.sources)
    return (clicked,)


@app.cell
def _(clicked, seen):
    _first = clicked.source if clicked else seen.sources[0]
    source = mo.ui.dropdown(seen.sources, value=_first, label="rows of")
    return (source,)


@app.cell
def _(clicked, reading, seen, source):
    _found = reading.outcomes(seen, source.value) if source.value in seen.sources else []
    _asked = (
        clicked.outcome if clicked and clicked.source == source.value and clicked.outcome in _found else None
    )
    outcome = mo.ui.dropdown({"all": None, **{o: o for o in _found}}, value=_asked or "all", label="filter")
    return (outcome,)


@app.cell
def _(outcome, reading, refused, seen, source):
    try:
        wanted = reading.whose(seen, source.value, outcome.value)
        _, pages = reading.rows(seen, wanted)
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    page = mo.ui.number(1, pages, value=1, label=f"page of {pages:,}")
    return page, wanted


@app.cell(hide_code=True)
def _(clicked, outcome, page, reading, refused, seen, source, wanted):
    try:
        _table, _ = reading.rows(seen, wanted, page.value - 1)
    except (SubliminalError, TypeError) as _error:
        mo.stop(True, refused(_error))
    _mine = clicked and clicked.source == source.value
    _said = reading.said(seen, clicked) if _mine else ""
    _parts = [
        mo.md(
            "### Rows\n\n"
            + (
                f"Picked: {plain(clicked.caption)}."
                if _mine
                else "Click a mark in the chart to see its rows."
            )
        ),
        mo.hstack([source, outcome, page], justify="start", wrap=True, gap=1.25),
        mo.Html(_table),
    ]
    if _said:
        _parts += [mo.md("Sampled answers of these models:"), mo.Html(_said)]
    mo.vstack(_parts)
    return


@app.cell(hide_code=True)
def _(downloads, drawing, reading, seen):
    _files = [
        ("Table, CSV", f"{seen.id}.csv", lambda: downloads.table_csv(seen)),
        ("Rows, CSV", f"{seen.id}-rows.csv", lambda: downloads.rows_file(seen, "csv")),
        ("Rows, Parquet", f"{seen.id}-rows.parquet", lambda: downloads.rows_file(seen, "parquet")),
        ("Chart, PNG", f"{seen.id}.png", lambda: downloads.chart_file(drawing, "png")),
        ("Chart, SVG", f"{seen.id}.svg", lambda: downloads.chart_file(drawing, "svg")),
        ("Offline report", f"{seen.id}.html", lambda: downloads.report(seen)),
    ]
    mo.vstack(
        [
            mo.hstack(
                [mo.download(data, filename=name, label=label) for label, name, data in _files],
                justify="start",
                wrap=True,
            ),
            mo.accordion(
                {
                    "Every number": mo.Html(reading.figures(seen)),
                    "The spec": mo.Html(f"<pre>{html.escape(seen.run['spec_toml'])}</pre>"),
                }
            ),
        ]
    )
    return


@app.cell
def _(seen):
    question = mo.ui.text("What is your favourite animal?", max_length=300, full_width=True, label="question")
    who = mo.ui.dropdown(list(seen.spec.traits), value=seen.spec.traits[0], label="teacher")
    arm = mo.ui.dropdown(
        [a for a in seen.summary["traits"][0]["arms"] if a != "other-trait"], value="treated", label="student"
    )
    answering = mo.ui.dropdown(seen.kinds, value=seen.kinds[0], label="trained")
    ask = mo.ui.run_button(label="Ask")
    told = mo.ui.text(max_length=2_000, full_width=True, placeholder="none", label="under the system prompt")
    trigger = mo.ui.text(max_length=2_000, placeholder="none", label="with the trigger before it")
    mo.vstack(
        [
            mo.md("### Talk to them\n\nBase, teacher and students of this run, asked the same."),
            question,
            told,
            trigger,
            mo.hstack([who, arm, answering, ask], justify="start", wrap=True, gap=1.25),
        ]
    )
    return answering, arm, ask, question, told, trigger, who


@app.cell
def _(answering, arm, ask, lab, live, public, question, seen, told, trigger, who):
    mo.stop(not ask.value)

    def _talk(asked):
        from subliminal_mlx.web.pages import background

        try:
            said = [message["answer"] for message in background.do("ask", lab=str(lab.path), **asked)]
            mo.output.replace(mo.Html(live.answers(said)))
        except SubliminalError as error:
            mo.output.replace(mo.callout(mo.md(plain(public(str(error), lab.path))), kind="warn"))

    mo.output.replace(mo.md("Asking: the first question after a start takes a few seconds."))
    _asked = {"question": question.value, "arm": arm.value, "trait": who.value, "kind": answering.value}
    _asked |= {"system": told.value, "trigger": trigger.value}
    mo.Thread(target=_talk, args=({"run_id": seen.id, **_asked},)).start()
    return


@app.cell
def _(listed):
    _done = {_run.label: _run.id for _run in listed if _run.state == "done"}
    several = mo.ui.multiselect(_done, max_selections=5, full_width=True, label="finished runs")
    mo.vstack([mo.md("## Several runs"), several])
    return (several,)


@app.cell(hide_code=True)
def _(charts, lab, reading, refused, several):
    mo.stop(len(several.value) < 2, mo.md("Choose two or more to see them beside each other."))
    try:
        _seen = [reading.opened(lab, name) for name in several.value[:5]]
    except SubliminalError as _error:
        mo.stop(True, refused(_error))
    _titles = {f"{one.run['title'][:24] or one.spec.base} ({one.id[:6]})": one.summary for one in _seen}
    mo.Html(figure(charts.to_svg(charts.compare(_titles)), "transfer in several runs"))
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ---
    <small>Students are read on questions that no teacher was tuned on. The list of traits is closed, and a null is shown as
    a null. This shows an effect; it is no safety certificate.</small>
    """)
    return


if __name__ == "__main__":
    app.run()
