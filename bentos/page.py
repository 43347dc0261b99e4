"""The start page: what runs here, how good it is, and ten items for whoever is typed in. Nothing in it comes from elsewhere."""

from collections.abc import Callable, Mapping
from html import escape
from string import Template
from typing import Any, Final
from urllib.parse import quote

from cortex_rec.evaluation.report_style import CSS
from cortex_rec.releases.store import Release

STYLE: Final = """
form { display: flex; gap: .6rem; flex-wrap: wrap; align-items: end; margin: .9rem 0 .4rem; }
label { display: grid; gap: .2rem; font-size: .85rem; color: var(--muted); flex: 1 1 12rem; }
input, button { font: 1rem/1.5 var(--sans); padding: .5rem .75rem; }
input, button { color: var(--ink); border: 1px solid var(--line); border-radius: 8px; background: var(--page); }
button { background: var(--system); border-color: var(--system); color: var(--card); font-weight: 600; cursor: pointer; }
:focus-visible { outline: 3px solid var(--system); outline-offset: 2px; }
ol { list-style: none; margin: .6rem 0 0; padding: 0; counter-reset: place; }
li { counter-increment: place; display: grid; grid-template-columns: 2rem 1fr auto; column-gap: .4rem; padding: .6rem 0; }
li { border-top: 1px solid var(--line); }
li::before { content: counter(place); color: var(--muted); font-variant-numeric: tabular-nums; grid-row: span 2; }
li i { font-style: normal; font-size: .88rem; color: var(--muted); white-space: nowrap; font-variant-numeric: tabular-nums; }
li b { overflow-wrap: anywhere; } li b small { font-weight: 400; color: var(--muted); }
li span { grid-column: 2 / span 2; font-size: .88rem; color: var(--muted); }
#said { min-height: 1.5em; margin: .4rem 0; font-size: .9rem; color: var(--muted); }
#said.fault { color: var(--bad); }
code { overflow-wrap: anywhere; } a { color: var(--system); }
"""
SCRIPT: Final = """
const form = document.querySelector("form"), list = document.querySelector("ol"), said = document.querySelector("#said");
const element = (name, text) => { const made = document.createElement(name); made.textContent = text; return made; };
const say = (text, fault) => { said.textContent = text; said.className = fault ? "fault" : ""; };
const span = document.querySelector("ol").dataset.span, percent = share => `${(100 * share).toFixed(share < .0995 ? 1 : 0)} %`;
let asked = 0;
async function recommend(user) {
  const turn = ++asked;
  list.setAttribute("aria-busy", "true");
  try {
    const response = await fetch("recommend", {method: "POST", body: JSON.stringify({user_id: user, n: 10})});
    const answer = await response.json();
    if (turn !== asked) return;
    list.replaceChildren(...(answer.items ?? []).map(item => {
      const line = document.createElement("li"), name = element("b", (item.title || "no title") + " ");
      name.append(element("small", item.item_id));
      const chance = item.probability === null ? "" : `${percent(item.probability)} within ${span}`;
      line.append(name, element("i", chance), element("span", item.reasons.join(" · ")));
      return line;
    }));
    if (!response.ok) say(answer.detail, true);
    else say(answer.fallback ?? `${answer.items.length} items for ${user} in ${answer.took_ms.toFixed(1)} ms`, false);
  } catch (error) {
    if (turn === asked) { list.replaceChildren(); say(`No answer from the service (${error.message}). Is it still running?`, true); }
  }
  list.removeAttribute("aria-busy");
}
document.querySelectorAll(".host").forEach(place => { place.textContent = new URL(".", location).href.replace(/\\/$/, ""); });
form.addEventListener("submit", event => { event.preventDefault(); recommend(form.user.value.trim()); });
recommend(form.user.value);
"""
PAGE: Final = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CORTEX-Rec · $name</title>
<link rel="icon" href="data:,">
<style>$style</style>
<main>
<h1>CORTEX-Rec · $name</h1>
<p>This service recommends what a customer is likely to buy next, with the reasons, from release <code>$release</code>:
$interactions purchases of $users people up to $last.</p>
<div class="cards">$cards</div>
<p class="muted">Judged on $span from $week that it had not seen, all items ranked.
<a href="report">The whole evaluation report</a>.</p>
<section>
<h2>Try it</h2>
<form><label>Customer (user id)<input name="user" value="$example" required maxlength="200" autocomplete="off" spellcheck="false"></label>
<button>Recommend</button></form>
<p id="said" role="status"></p>
<ol aria-label="Recommended items" data-span="$span"></ol>
<noscript><p>Without JavaScript: <a href="api/recommend/$example_path?n=10">ten items as JSON</a>.</p></noscript>
</section>
<section>
<h2>For programs</h2>
<p><code>curl "<span class="host">http://127.0.0.1:3000</span>/api/recommend/$example_path?n=10"</code><br>
<code>curl <span class="host">http://127.0.0.1:3000</span>/recommend -d '{"user_id": "$example", "n": 10}'</code></p>
<p><a href="version">version</a> · <a href="metrics">metrics</a> · <a href="readyz">readyz</a></p>
</section>
</main>
<script>$script</script>
</html>
""")


def render(release: Release, *, example: str) -> str:
    """The page as HTML.

    Parameters
    ----------
    release
        What is served; its manifest has the figures.
    example
        A user whom the release knows.
    """
    data, metrics = release.manifest.data, release.manifest.metrics
    return PAGE.substitute(
        name=escape(release.manifest.name),
        release=release.id,
        interactions=f"{data.interactions:,}",
        users=f"{data.users:,}",
        last=f"{data.last:%-d %B %Y}",
        week=escape(str(metrics["test_week"])),
        cards=_cards(metrics),
        span=_span(release.manifest.config),
        example=escape(example),
        example_path=quote(example, safe=""),
        style=CSS + STYLE,
        script=SCRIPT,
    )


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
        others = (f"{escape(baseline.replace('_', ' '))} {_number(of(figures))}" for baseline, figures in metrics["baselines"].items())
        note = ", ".join(others)
        cards.append(f'<div class="card"><span class="name">{name}</span><b>{_number(of(own))}</b><span class="note">{note}</span></div>')
    return "".join(cards)


def _span(config: Mapping[str, Any]) -> str:
    """How long a window of the release is: what its probabilities are about."""
    days = config["windows"]["days"]
    return "a week" if days == 7 else "a day" if days == 1 else f"{days} days"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
