// One item of an answer in a sheet of its own: what its score rests on, who found it, what the rules did.

import * as address from "./address.js";
import {h, note} from "./dom.js";
import {count, fine, percent, plain, signed, split} from "./formats.js";

export function details(item, answer, span) {
  const [head, rest] = split(item.title, item.item_id), traced = answer.trace?.items?.[item.item_id];
  const sheet = h("dialog", {class: "sheet", "aria-labelledby": "sheet-title", onclose: () => sheet.remove()},
    h("form", {method: "dialog"}, h("button", {class: "quiet", "aria-label": "Close"}, "Close")),
    h("h2", {id: "sheet-title"}, head), h("p", {class: "muted"}, [rest, item.item_id].filter(Boolean).join(" · ")),
    h("dl", {class: "facts"},
      item.probability !== null && [h("dt", {}, `Bought within ${span}`), h("dd", {}, percent(item.probability))],
      h("dt", {}, "Score"), h("dd", {}, fine(item.score)), traced && places(traced)),
    h("h3", {}, "Reasons"), h("ul", {class: "reasons"}, item.reasons.map(reason => h("li", {}, reason))),
    traced ? rests(traced) : note("This answer has no trace of the item."),
    h("p", {class: "links"}, h("a", {href: address.link("item", item.item_id), onclick: () => sheet.close()}, "Its page, with similar items")));
  // A click beside the sheet closes it, as Escape does.
  sheet.addEventListener("click", event => { if (event.target === sheet) sheet.close(); });
  document.body.append(sheet);
  sheet.showModal();
}

function places({place, ranked_place: ranked, rules}) {
  const moved = ranked !== place ? `${count(place)}, the ranker's ${count(ranked)}` : count(place);
  return [h("dt", {}, "Place"), h("dd", {}, moved), rules?.length > 0 && [h("dt", {}, "Moved by"), h("dd", {}, rules.map(plain).join(", "))]];
}

function rests({contributions, retrievers, features}) {
  const parts = Object.entries(contributions ?? {}).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const finders = Object.entries(retrievers ?? {}).sort(([, a], [, b]) => a.rank - b.rank);
  const values = Object.entries(features ?? {});
  return [
    parts.length > 0 && [h("h3", {}, "What the score rests on"), bars(parts)],
    finders.length > 0 && [h("h3", {}, "Who found it"), h("table", {}, h("thead", {}, h("tr", {}, ["Retriever", "Its place", "Its score"].map(name => h("th", {scope: "col"}, name)))),
      h("tbody", {}, finders.map(([name, {rank, score}]) => h("tr", {}, h("th", {scope: "row"}, plain(name)), h("td", {}, count(rank)), h("td", {}, fine(score))))))],
    values.length > 0 && h("details", {}, h("summary", {}, `${count(values.length)} features`), h("table", {}, h("tbody", {}, values.map(([name, value]) =>
      h("tr", {}, h("th", {scope: "row"}, plain(name)), h("td", {}, value === null ? "not known" : fine(value))))))),
  ];
}

/** Contributions to the score, to the right what lifts it and to the left what lowers it. */
function bars(parts) {
  const largest = Math.max(...parts.map(([, value]) => Math.abs(value)), 1e-9);
  return h("ul", {class: "parts"}, parts.map(([name, value]) => {
    const bar = h("i", {class: value < 0 ? "lowers" : "lifts", "aria-hidden": "true"});
    bar.style.inlineSize = `${50 * Math.abs(value) / largest}%`;
    return h("li", {}, h("span", {}, plain(name)), h("span", {class: "axis"}, bar), h("b", {}, signed(value)));
  }));
}
