"""One page about a run: what was claimed, how surely, from what, and how to do it again.

    write_report("owl.html", renewed_run(lab, run_id), sample_rows, lab.yields(run_id), lab.metrics(run_id))
    sentence(summary["traits"][0])

The page is a single file without scripts that asks nothing of the network. Every value that comes from
rows, specs or models is escaped: corpora may be hostile.
"""

from .page import write_report
from .words import claim, sentence

__all__ = ["claim", "sentence", "write_report"]
