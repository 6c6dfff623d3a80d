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
    import secrets

    import marimo as mo

    from subliminal_mlx import results
    from subliminal_mlx.errors import SubliminalError
    from subliminal_mlx.page.figures import figure
    from subliminal_mlx.page.headline import headline


@app.cell(hide_code=True)
def _():
    _real = headline(results.best_real() or "default")
    mo.md(f"""
    # Traits that travel in number lists

    [The blind test](#the-blind-test)

    **{_real.base}, {_real.chains} {"chain" if _real.chains == 1 else "chains"}.** {_real.claims[0]}

    {mo.Html(figure(results.chart(_real.name, "transfer"), f"transfer of every arm in {_real.base}"))}

    <small>{" ".join(_real.claims[1:])} Against students of the neutral teacher, in log-odds:
    {"; ".join(_real.controls)}. **Limits.** {_real.limits}</small>
    """)
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
    from subliminal_mlx.blind import rounds

    game = rounds.rounds(seed)

    def _guess(side):
        set_guesses(lambda before: (*before, side)[: len(game)])

    left = mo.ui.button(label="Left", on_change=lambda _: _guess("left"))
    right = mo.ui.button(label="Right", on_change=lambda _: _guess("right"))
    return game, left, right, rounds


@app.cell(hide_code=True)
def _(game, get_guesses, left, right, rounds):
    from subliminal_mlx.page import blind

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
    from subliminal_mlx import charts
    from subliminal_mlx.page import blind

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


if __name__ == "__main__":
    app.run()
