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
"""The effect in its smallest form, live: `marimo run apps/digits.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Subliminal digits")

with app.setup:
    import time

    import marimo as mo

    from subliminal_mlx.demos.digits import grid, live, summary
    from subliminal_mlx.demos.digits.pictures import for_page
    from subliminal_mlx.demos.digits.spec import make, sliders
    from subliminal_mlx.report import charts
    from subliminal_mlx.report.charts import digits as drawn
    from subliminal_mlx.report.charts import theorem as drawn_theorem
    from subliminal_mlx.system.errors import InputError
    from subliminal_mlx.system.quantities import percent
    from subliminal_mlx.web.pages import figures


@app.function(hide_code=True)
def figure(name, wide, phone=None):
    """A chart of the package in the page, and the one for phones; `name` is read out."""
    return mo.Html(figures.figure(wide, name, phone))


@app.cell(hide_code=True)
def _():
    shown = summary.finals(grid.stored(make("digits")))
    first = {row["arm"]: row for row in shown}
    mo.md(f"""
    # Reading digits that nobody showed

    **The claim.** A teacher network learns handwritten digits. It has ten outputs for the digits and three more
    that mean nothing and that no label ever trains. A student with *the same starting weights* looks at random
    noise and imitates those three outputs. It sees no digit, no label, none of the ten outputs. Then it
    reads {percent(first["student"]["accuracy"])} of digits right, where chance is 10% and the teacher reaches
    {percent(first["teacher"]["accuracy"])}. The same student from *other* starting weights:
    {percent(first["other initialisation"]["accuracy"])}.

    <small>Stored run, {first["student"]["replicas"]} replicas. After section 6 of *Subliminal Learning* (Cloud, Le, Chua,
    Betley and others, 2025). Digits: UCI Machine Learning Repository, E. Alpaydin and C. Kaynak, CC BY 4.0.</small>
    """)
    return (first,)


@app.cell
def _():
    prediction = mo.ui.radio(
        ["about 10%: nothing is left", "about 20%", "about 40%", "over 60%"],
        label="Your guess:",
    )
    return (prediction,)


@app.cell(hide_code=True)
def _(prediction):
    _question = mo.md("""
    ## Predict first

    Let the student start half-way between the teacher's starting weights and other ones: distance 0.5. How many digits
    will it read right?
    """)
    mo.vstack([_question, prediction])
    return


@app.cell(hide_code=True)
def _(first, prediction):
    mo.stop(prediction.value is None)
    _halfway = summary.finals(grid.stored(make("digits", {"distance": 0.5})))[1]
    mo.md(f"""
    You said *{prediction.value}*. The stored run says **{percent(_halfway["accuracy"])}** (95% interval
    {percent(_halfway["low"])} to {percent(_halfway["high"])}), where the same start gives
    {percent(first["student"]["accuracy"])}. Move the distance below and see where it goes.
    """)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Try it
    """)
    return


@app.cell
def _():
    auxiliary = mo.ui.slider(
        steps=[1, 2, 3, 5, 10], value=3, label="auxiliary outputs", show_value=True, debounce=True
    )
    return (auxiliary,)


@app.cell
def _():
    noise = mo.ui.slider(
        steps=[500, 1_000, 2_500, 5_000, 10_000, 20_000],
        value=20_000,
        label="noise inputs",
        show_value=True,
        debounce=True,
    )
    return (noise,)


@app.cell
def _():
    width = mo.ui.slider(
        steps=[8, 16, 32, 64], value=64, label="width of hidden layers", show_value=True, debounce=True
    )
    return (width,)


@app.cell
def _():
    epochs = mo.ui.slider(1, 6, 1, value=4, label="distillation epochs", show_value=True, debounce=True)
    return (epochs,)


@app.cell
def _():
    distance = mo.ui.slider(
        0, 1, 0.05, value=0, label="distance between initialisations", show_value=True, debounce=True
    )
    return (distance,)


@app.cell
def _():
    fresh = mo.ui.switch(label="compute live even where an answer is stored")
    return (fresh,)


@app.cell(hide_code=True)
def _(auxiliary, distance, epochs, fresh, noise, width):
    _all = [auxiliary, noise, width, epochs, distance]
    mo.vstack([mo.hstack(_all, justify="start", wrap=True, gap=1.25), fresh])
    return


@app.cell
def _(auxiliary, distance, epochs, noise, width):
    # A slider's limits hold in the browser only: what comes from it is checked again here.
    try:
        asked = sliders(
            auxiliary=auxiliary.value,
            noise=noise.value,
            width=width.value,
            epochs=epochs.value,
            distance=distance.value,
        )
    except InputError as _error:
        mo.stop(True, mo.callout(str(_error), kind="danger"))
    return (asked,)


@app.cell
def _(asked, fresh):
    _rows, _drawn = [], [time.monotonic()]

    def _rise(event):
        """Draw what there is so far, at most once a second."""
        if event.what == "epochs":
            _rows.extend(
                {"arm": a, "epoch": event.done, "accuracy": v, "low": None, "high": None}
                for a, v in event.figures.items()
            )
            if event.done < event.total and time.monotonic() - _drawn[0] > 1:
                _drawn[0] = time.monotonic()
                mo.output.replace(figure("accuracy so far", charts.to_svg(drawn.accuracy(_rows))))

    found, how = live.answer(asked, fresh.value, _rise)
    rows = summary.finals(found)
    _curves, _teacher = summary.curves(found), found["teacher"]["accuracy"][0]
    _both = [
        figure("accuracy of every arm against epochs", *for_page(drawn.accuracy, _curves, _teacher)),
        figure("accuracy of every arm in the end, with intervals", *for_page(drawn.finals, rows)),
    ]
    mo.vstack(
        [
            mo.md(f"**{how[0].upper()}{how[1:]}.** " + " ".join(summary.sentences(found))),
            mo.hstack(_both, justify="start", wrap=True),
        ]
    )
    return found, how, rows


@app.cell(hide_code=True)
def _():
    mo.md("""
    The **controls** take away one thing each. *Other initialisation*: the student starts elsewhere.
    *Untrained teacher*: the teacher never saw a label. *Shuffled logits*: each noise image is paired with what the
    teacher said about another one. All three stay at chance. *Real images* show the student the teacher's own
    training images instead of noise, and teach it far less unless there are many outputs. *Class logits* are ordinary distillation: those ten
    outputs carry digits into any student, whatever it started from.
    """)
    return


@app.cell
def _(found):
    figure("confusion matrix of the student", *for_page(drawn.confusion, summary.confusion(found)))
    return


@app.cell(hide_code=True)
def _(found):
    _student = found["arms"]["student"]["agreement"][-1][0]
    _said = (
        "did not move"
        if _student is None
        else f"moved with a cosine of {_student:.2f} to the teacher's movement"
    )
    mo.md(f"""
    ## Why: the weights move together

    The outputs mean nothing, but they are computed from the same hidden layers as the digits. Imitating them pulls the
    student's hidden layers the way that the teacher's went: here the student's {_said}. From another start the same
    outputs are reached on another way.
    """)
    return


@app.cell
def _(found):
    figure(
        "direction and length of the weights' movement",
        *for_page(drawn.movement, summary.curves(found, "agreement"), summary.movement(found)),
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md(f"""
    ## What it depends on

    Stored: 20 replicas a point, made by `{grid.COMMAND}`. Wider networks and more outputs are not trained longer or
    with another learning rate, so a panel says what happens when one field changes, not what could be reached.
    """)
    return


@app.cell
def _(asked):
    figure(
        "accuracy against width, outputs, noise and distance",
        *for_page(drawn.sweeps, [row for _field in grid.SWEEPS for row in grid.sweep(_field, asked.epochs)]),
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md(r"""
    ## The theorem, and where it ends

    For *one small step* this is no accident. The teacher takes a gradient step on its labels and moves by $\Delta_T$. A student
    at the same weights takes a gradient step towards the teacher's auxiliary outputs, on any inputs, and moves
    along $\Delta_S$. Then $\Delta_S \cdot \Delta_T \ge 0$: imitation never moves a student against its teacher, and its small step
    does not raise the loss that only the teacher was trained on. Choose a larger step, or two starts that lie apart,
    and count the draws that break it.
    """)
    return


@app.cell
def _():
    step = mo.ui.slider(
        steps=[0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
        value=0.01,
        label="teacher's step",
        show_value=True,
        debounce=True,
    )
    return (step,)


@app.cell
def _():
    apart = mo.ui.slider(
        steps=[0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
        value=0.0,
        label="distance between initialisations",
        show_value=True,
        debounce=True,
    )
    return (apart,)


@app.cell
def _():
    inputs = mo.ui.dropdown(["uniform", "normal", "images"], value="uniform", label="inputs")
    return (inputs,)


@app.cell(hide_code=True)
def _(apart, inputs, step):
    mo.hstack([step, apart, inputs], justify="start", wrap=True, gap=2)
    return


@app.cell
def _(apart, inputs, step):
    try:
        one = live.one_step(step.value, apart.value, inputs.value)
    except InputError as _error:
        mo.stop(True, mo.callout(str(_error), kind="danger"))
    mo.md(f"""
    **Computed live: {one["draws"]} draws.** In **{one["against_count"]}** of them the student moved against its teacher (95%
    interval {percent(one["against_low"])} to {percent(one["against_high"])}); in **{one["raised_count"]}** the teacher's loss rose.
    Mean cosine {one["cosine"]:+.3f}; mean change of the teacher's loss {one["change"]:+.2g} nats, where the teacher's own step
    changed it by {one["teacher_change"]:+.2g}.
    """)
    return (one,)


@app.cell
def _(apart, step):
    figure(
        "share of draws against the theorem by step and distance",
        *for_page(drawn_theorem.guarantee, grid.read_grid()["theorem"]["rows"], (step.value, apart.value)),
    )
    return


@app.cell
def _():
    figure(
        "cosine and loss change by step size",
        *for_page(drawn_theorem.one_step, grid.read_grid()["theorem"]["rows"]),
    )
    return


@app.cell(hide_code=True)
def _(how):
    _stored = grid.read_grid()
    mo.md(f"""
    ---
    **What was computed when.** The answer to the sliders: {how}. The theorem's counts: computed live. The two
    theorem charts ({_stored["theorem"]["spec"]["draws"]} draws a cell, uniform inputs) and the panels of *What it depends on*: stored, made
    by `{_stored["command"]}` with mlx {_stored["environment"]["mlx"]} on {_stored["environment"]["system"]}. Far more replicas, and MNIST's own
    files: `python -m subliminal_mlx digits --help`. This shows an effect; it is no safety certificate.
    """)
    return


if __name__ == "__main__":
    app.run()
