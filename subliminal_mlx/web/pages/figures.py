"""Charts as apps show them: on white in light and dark, and never too small to read.

mo.Html(figure(charts.to_svg(chart), "transfer of every arm"))
"""

import base64
import html
import re
from collections.abc import Sequence

# Of the width that it was drawn for, a chart keeps at least this on a phone; the rest scrolls.
LEAST, PHONE = 0.6, 640
# How tables of `report.tables` look on a page.
STYLE = """<style>
.scroll { overflow-x: auto; max-width: 100%; margin: 0.5rem 0; }
.scroll table { border-collapse: collapse; font-size: 0.8rem; font-variant-numeric: tabular-nums; }
.scroll th, .scroll td { padding: 0.25rem 0.6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
.scroll .number { text-align: right; white-space: nowrap; }
.scroll.code td { font-family: ui-monospace, Menlo, Consolas, monospace; }
</style>"""
BAR = (
    '<div style="height:0.5rem;border-radius:4px;background:rgba(128,128,128,0.25);min-width:8rem">'
    '<div style="height:100%;border-radius:4px;background:{color};width:{percent:.1f}%"></div></div>'
)
_BOX = "margin:0;background:#fff;border-radius:8px;width:fit-content;max-width:100%;overflow-x:auto"


def figure(svg: str, name: str, phone: str | None = None) -> str:
    """An SVG document as an HTML figure; `name` is read out where it cannot be seen.

    Args:
        phone: another drawing of the same, to show in its place on screens up to PHONE pixels.
    """
    name = html.escape(name)
    if phone is not None:
        wide, narrow = (base64.b64encode(one.encode()).decode() for one in (svg, phone))
        return (
            f'<figure style="{_BOX}"><picture>'
            f'<source media="(max-width:{PHONE}px)" srcset="data:image/svg+xml;base64,{narrow}">'
            f'<img src="data:image/svg+xml;base64,{wide}" alt="{name}" style="margin:0"></picture></figure>'
        )
    least = LEAST * float(svg.split('width="', 1)[1].split('"', 1)[0])
    # Ids of several charts on one page must differ: a clip path is looked up by its id.
    own = f"f{abs(hash(svg)):x}-"
    svg = re.sub(r'id="([^"]+)"', rf'id="{own}\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{own}\1)", svg)
    svg = svg.replace("<svg ", f'<svg style="max-width:100%;min-width:{least:.0f}px;height:auto" ', 1)
    return f'<figure role="img" aria-label="{name}" style="{_BOX}">{svg}</figure>'


def bars(rows: Sequence[tuple[str, float, str, str]]) -> str:
    """A bar a row: name, share from 0 to 1, count, and what is said behind it."""
    cells = "".join(
        f"<span>{html.escape(name)}</span>{BAR.format(color='#30638e', percent=100 * min(1, share))}"
        f"<span>{html.escape(count)}</span><span>{html.escape(live)}</span>"
        for name, share, count, live in rows
    )
    grid = "display:grid;grid-template-columns:auto minmax(6rem,18rem) auto auto;gap:0.3rem 0.9rem"
    return f'<div style="{grid};align-items:center;justify-content:start;font-size:0.85rem">{cells}</div>'


def plain(value: object) -> str:
    """A value as text of a Markdown page: what it holds is shown and never acts as markup."""
    return re.sub(r"[^\w\s,;%/()?\N{MIDDLE DOT}]", lambda found: f"&#{ord(found[0])};", str(value))
