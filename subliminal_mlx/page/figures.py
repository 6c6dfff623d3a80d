"""Charts as apps show them: on white in light and dark, and never too small to read.

mo.Html(figure(charts.to_svg(chart), "transfer of every arm"))
"""

import html
import re

# Of the width that it was drawn for, a chart keeps at least this on a phone; the rest scrolls.
LEAST = 0.6
_BOX = "margin:0;background:#fff;border-radius:8px;width:fit-content;max-width:100%;overflow-x:auto"


def figure(svg: str, name: str) -> str:
    """An SVG document as an HTML figure; `name` is read out where it cannot be seen."""
    least = LEAST * float(svg.split('width="', 1)[1].split('"', 1)[0])
    # Ids of several charts on one page must differ: a clip path is looked up by its id.
    own = f"f{abs(hash(svg)):x}-"
    svg = re.sub(r'id="([^"]+)"', rf'id="{own}\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{own}\1)", svg)
    svg = svg.replace("<svg ", f'<svg style="max-width:100%;min-width:{least:.0f}px;height:auto" ', 1)
    return f'<figure role="img" aria-label="{html.escape(name)}" style="{_BOX}">{svg}</figure>'


def percent(share: float) -> str:
    """0.763 as 76.3%."""
    return f"{100 * share:.1f}%"


def plain(value: object) -> str:
    """A value as text of a Markdown page: what it holds is shown and never acts as markup."""
    escaped = html.escape(str(value))
    return re.sub(r"([\\`*_{}\[\]()#+.!|$~:-])", lambda found: f"&#{ord(found[1])};", escaped)
