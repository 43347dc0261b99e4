"""The pieces of HTML that the report is put together from. Cells may hold markup: escape what comes from data."""

from collections.abc import Sequence
from html import escape

from cortex_rec.evaluation.report_style import CSS


def document(title: str, body: str, *, style: str = "") -> str:
    """A whole page that stands alone; `style` is CSS beside that of all pages."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def figure(svg: str, caption: str, *, narrow: bool = False) -> str:
    """A plot with its caption, which is also what a screen reader says. The caption is plain text.

    A narrow plot fits a phone; another one scrolls sideways there.
    """
    kind = ' class="narrow"' if narrow else ""
    return f'<figure{kind} role="img" aria-label="{escape(caption)}">{svg}<figcaption>{escape(caption)}</figcaption></figure>'


def table(headings: Sequence[str], rows: Sequence[tuple[Sequence[str], str]]) -> str:
    """A table that scrolls sideways where the screen is narrow; a row is its cells and a CSS class."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join(f'<tr class="{escape(kind)}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells, kind in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, lead: str, body: str) -> str:
    """A titled card of the page."""
    return f"<section><h2>{title}</h2>" + (f'<p class="muted">{lead}</p>' if lead else "") + f"{body}</section>"
