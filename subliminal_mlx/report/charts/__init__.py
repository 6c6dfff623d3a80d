"""Every chart: what transferred, to whom, how surely, and what it was made from.

    charts.save(charts.transfer(summary), "transfer.png")

Takes the Summary of `transfer.summarise`, or a table of the lab, and gives an Altair chart. Arms have
the colours and the order of ARMS everywhere. Intervals are shown wherever there are several chains,
except for answer distributions, of which a Summary keeps the means. Knows nothing about models and
the lab.
"""

from .audit import audit_growth, audit_power, audit_prediction, audit_ranking
from .compare import compare
from .defences import defences
from .dose import dose
from .effects import traits, transfer
from .giveaway import giveaway
from .learning import answers, margins
from .lineage import lineage
from .making import losses, yields
from .matrix import matrix
from .measured import changes, drift
from .multiples import curves, distributions
from .picking import PICKED, pickable
from .style import ARMS, AnyChart, save, to_svg

__all__ = [
    "ARMS",
    "PICKED",
    "AnyChart",
    "answers",
    "audit_growth",
    "audit_power",
    "audit_prediction",
    "audit_ranking",
    "changes",
    "compare",
    "curves",
    "defences",
    "distributions",
    "dose",
    "drift",
    "giveaway",
    "lineage",
    "losses",
    "margins",
    "matrix",
    "pickable",
    "save",
    "to_svg",
    "traits",
    "transfer",
    "yields",
]
