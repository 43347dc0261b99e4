"""The look of the HTML report: light and dark, no font or script from anywhere else."""

CSS = """
:root { color-scheme: light dark; --sans: system-ui, "Segoe UI", "DejaVu Sans", sans-serif;
  --page: #f6f7f9; --card: #ffffff; --ink: #16202c; --muted: #5b6877; --line: #dde2e8; --soft: #edf0f3;
  --system: #0f766e; --popularity: #8792a0; --personal-decay: #c77d0a; --bought: #475569; --good: #0f766e; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root {
  --page: #11161d; --card: #19212b; --ink: #e6ebf1; --muted: #9aa7b5; --line: #2d3844; --soft: #232d38;
  --system: #2fb5a6; --popularity: #7d8b9b; --personal-decay: #e5a540; --bought: #b4c0cd; --good: #4fd1c0; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 var(--sans); }
main { max-width: 64rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .35rem; }
h2 { font-size: 1.2rem; margin: 0 0 .25rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .3rem 0 .8rem; max-width: 44rem; }
a { color: var(--system); }
.muted, figcaption { color: var(--muted); }
.verdict { font-size: 1.1rem; margin: .9rem 0 1.4rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.4rem; margin: 1.1rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem; margin: 1.1rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .9rem 1rem; }
.card b { display: block; font-size: 1.8rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card .name { font-size: .85rem; font-weight: 600; white-space: nowrap; }
.card .note { font-size: .85rem; color: var(--muted); overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .4rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--muted); font-weight: 600; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
tr.system td { font-weight: 600; }
tbody tr:last-child td { border-bottom: 0; }
.range { color: var(--muted); font-weight: 400; font-size: .82rem; }
figure { margin: .8rem 0 0; }
figcaption { font-size: .85rem; margin: .35rem 0 .9rem; max-width: 44rem; }
svg { width: 100%; height: auto; display: block; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
.narrow svg { max-width: 44rem; min-width: 0; }
details { margin-top: .9rem; } summary { cursor: pointer; font-weight: 600; }
dl { display: grid; grid-template-columns: minmax(8rem, auto) 1fr; gap: .3rem 1.2rem; margin: .6rem 0 0; font-size: .9rem; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 34rem) { main { padding: 1.2rem .7rem 3rem; } section { padding: 1rem .8rem; }
  figure { overflow-x: auto; } svg { min-width: 34rem; } }
@media print { body { background: #fff; } section, .card { break-inside: avoid; } }
"""
