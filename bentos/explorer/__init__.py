"""The explorer page: plain files served as they are, and one template that says what runs here and how good it is."""

import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cortex_rec.catalogue import GROUPS, Catalogue
from cortex_rec.encoding import Encoded
from cortex_rec.releases.store import Release

#: The page runs its own files, asks this service, and nothing else; nobody may put it into a frame.
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Asked again each time, so that a new version's files are never mixed with those of the one before.
    "Cache-Control": "no-cache",
}
_KINDS: Final = {".css": "text/css", ".js": "text/javascript"}
_FOLDER: Final = Path(__file__).parent
_PAGE: Final = Template((_FOLDER / "page.html").read_text(encoding="utf-8"))
#: File name -> content and media type.
_FILES: Final = {path.name: (path.read_bytes(), _KINDS[path.suffix]) for path in sorted(_FOLDER.iterdir()) if path.suffix in _KINDS}


def routes(page: Callable[[], str]) -> list[Route]:
    """What the page needs: `/` itself and its files below `/explorer`.

    Parameters
    ----------
    page
        Gives the HTML of the release that is served now (`render`).
    """

    async def start(_: Request) -> Response:
        return HTMLResponse(page(), headers=HEADERS)

    async def file(http: Request) -> Response:
        if http.path_params["name"] not in _FILES:
            raise HTTPException(404)
        content, kind = _FILES[http.path_params["name"]]
        return Response(content, media_type=kind, headers=HEADERS)

    return [Route("/", start), Route("/explorer/{name}", file)]


def render(release: Release, data: Encoded) -> str:
    """The page as HTML.

    Parameters
    ----------
    release
        What is served; its manifest has the figures.
    data
        Its users, of whom some are offered as examples, and its catalogue, whose widest group can be filtered by.
    """
    window, metrics = release.manifest.data, release.manifest.metrics
    examples = data.users.external(range(min(12, len(data.users))))
    facts = {
        "release": release.id,
        "span": _span(release.manifest.config),
        "asOf": f"{window.as_of:%Y-%m-%d}",
        "examples": examples,
        **_group(data.catalogue),
    }
    return _PAGE.substitute(
        name=escape(release.manifest.name),
        release=release.id,
        interactions=_count(window.interactions),
        users=_count(window.users),
        items=_count(window.items),
        last=f'<time datetime="{window.last:%Y-%m-%d}">{window.last:%-d %B %Y}</time>',
        week=escape(str(metrics["test_week"])),
        cards=_cards(metrics),
        span=_span(release.manifest.config),
        example=escape(examples[0]),
        example_path=quote(examples[0], safe=""),
        # In a script element only `<` could end it early.
        facts=json.dumps(facts).replace("<", "\\u003c"),
    )


def _group(catalogue: Catalogue) -> dict[str, Any]:
    """The widest group that parts the items, and its values in order."""
    group = next((group for group in GROUPS if len(catalogue.names[group]) > 1), GROUPS[0])
    return {"group": group, "values": sorted(catalogue.names[group])}


def _cards(metrics: Mapping[str, Any]) -> str:
    """Headline figures, each with the same of the baselines under it."""
    own = {**metrics["metrics"], "slices": metrics["slices"]}
    chosen: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
        "NDCG@10": lambda figures: figures["ndcg@10"],
        "NDCG@10, new items only": lambda figures: figures["slices"]["new_items"]["ndcg@10"],
        "Recall@20": lambda figures: figures["recall@20"],
    }
    cards = []
    for name, of in chosen.items():
        others = "".join(
            f"<div><dt>{escape(baseline.replace('_', ' '))}</dt><dd>{_number(of(figures))}</dd></div>"
            for baseline, figures in metrics["baselines"].items()
        )
        cards.append(f'<div class="figure"><h3>{name}</h3><b>{_number(of(own))}</b><dl>{others}</dl></div>')
    return "".join(cards)


def _span(config: Mapping[str, Any]) -> str:
    """How long a window of the release is: what its probabilities are about."""
    days = config["windows"]["days"]
    return "a week" if days == 7 else "a day" if days == 1 else f"{days} days"


def _count(value: int) -> str:
    """A number that the browser writes in its own language."""
    return f'<data value="{value}">{value:,}</data>'


def _number(value: float | None) -> str:
    return "–" if value is None else f'<data value="{value}">{value:.3f}</data>'
