"""Charts as apps show them: on white in light and dark, and never too small to read.

mo.Html(figure(charts.to_svg(chart), "transfer of every arm"))
"""

import base64
import html
import re

# Of the width that it was drawn for, a chart keeps at least this on a phone; the rest scrolls.
LEAST, PHONE = 0.6, 640
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


def percent(share: float) -> str:
    """0.763 as 76.3%."""
    return f"{100 * share:.1f}%"


def plain(value: object) -> str:
    """A value as text of a Markdown page: what it holds is shown and never acts as markup."""
    return re.sub(r"[^\w\s,;%/()?\N{MIDDLE DOT}]", lambda found: f"&#{ord(found[0])};", str(value))
