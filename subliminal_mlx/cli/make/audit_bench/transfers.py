"""Transfer foretold and transfer that came: a grid of small runs, fixed before any of them was looked at.

    compute(Path("lab"))                     # the runs that are not there yet
    result = foretell(Path("lab"), probes=False)

Every run is one animal at one number of rows and one temperature, with seeds of its own and else the default
preset's recipe, hard students. Each animal has a run at every temperature; each dose has four animals.
"""

from pathlib import Path

from ....audit.prediction import Point, measured
from ....audit.spec import AuditSpec, parse_audit_spec
from ....audit.suspects import sources
from ....lab import Lab
from ....lab.identity import identify
from ....model.bases import load
from ....pipeline.run import run
from ....spec import Spec, load_spec, validate
from ....spec.seeds import seed_of
from ....system.events import Event, Listener, ignore
from .agreement import evaluate

FAMILY, BASE = "animals", "tiny-a"
ROWS = (250, 500, 1_000, 2_000)
TEMPERATURES = (0.7, 1.0, 1.5)


def doses() -> list[tuple[str, int, float]]:
    """Trait, rows and temperature of every run: three Latin squares, so that neither goes with another."""
    found = []
    for k, trait in enumerate(sources(FAMILY)[:-1]):
        a, b = divmod(k, len(ROWS))
        places = (b, a + b, a)
        for temperature, place in zip(TEMPERATURES, places, strict=True):
            found.append((trait, ROWS[place % len(ROWS)], temperature))
    # In a mixed order: a part of them is no corner of the grid.
    return sorted(found, key=lambda dose: seed_of("order", *dose))


def specs() -> list[Spec]:
    """The runs, in the order in which they are computed."""
    default = load_spec("default").model_dump(mode="json", exclude_none=True)
    for field in ("soft", "foreign"):
        del default[field]
    found = []
    for trait, rows, temperature in doses():
        fields = default | {
            "title": f"{trait}, {rows:,} rows at temperature {temperature:g}",
            "traits": [trait],
            "chains": 1,
            "seed": seed_of("prediction", trait, rows, temperature) % (1 << 31),
            "arms": ["treated", "neutral"],
            "ablations": [],
            "ablation_traits": [],
            "corpus": default["corpus"] | {"rows": rows, "temperature": temperature},
            "readout": default["readout"] | {"points": 1, "answers": 0, "capability": False},
        }
        found.append(validate(fields, "prediction"))
    return found


def compute(lab: Path, on_event: Listener = ignore) -> None:
    """Run what is not done yet, one after the other."""
    wanted = specs()
    for number, spec in enumerate(wanted):
        run(spec, Lab(lab), processes=1)
        on_event(Event("prediction runs", number + 1, len(wanted)))


def foretell(lab: Path, probes: bool = False, on_event: Listener = ignore) -> dict:
    """Predicted against measured transfer over the grid's runs, each trait foretold from the others alone."""
    fields = {"base": BASE, "families": [FAMILY], "lines": "all" if probes else "fast"}
    spec: AuditSpec = parse_audit_spec(fields | {"null": {"other_base": "tiny-b"}})
    ours = {identify(one) for one in specs()}
    points: list[Point] = [
        p for p in measured(Lab(lab), load(BASE), spec, lab / "audit", on_event) if p["run"] in ours
    ]
    return evaluate(points)


def draw(result: dict, folder: Path) -> None:
    """The chart of a result."""
    from ....report import charts

    rank, within, dose = result["rank"], result["within"], result["dose"]["rank"]
    words = (
        f"{len(result['points'])} runs of {len({p['trait'] for p in result['points']})} animals on {BASE}; each trait is "
        f"foretold from the others alone. Rank correlation {_span(rank)}; at fixed rows and temperature {_span(within)}; "
        f"of a baseline that knows only those two {_span(dose)}."
    )
    for suffix in ("png", "svg"):
        charts.save(charts.audit_prediction(result["points"], words), folder / f"prediction.{suffix}")


def _span(found: dict) -> str:
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
