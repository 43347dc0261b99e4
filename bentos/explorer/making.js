// How an answer was made: its trace as a picture and in words, and why an item is not in it.

import * as api from "./api.js";
import {h, note} from "./dom.js";
import {count, label, milliseconds, plain} from "./formats.js";
import {picture} from "./picture.js";
import {search} from "./search.js";

const narrow = matchMedia("(max-width: 40rem)");
const CAUSES = {
  basket: "in the basket or cart", hidden: "hidden by the shopper", exclude: "excluded", bought_days: "bought lately",
  groups: "of another group", price: "out of the price range", in_store: "not sold in the store",
};

export const findItems = async text => (text ? (await api.items(text)).items : []).map(({item_id: id, title}) => ({id, text: title || id, rest: id}));

export function making({why, onWhy}) {
  const drawing = h("figure"), verdict = h("div", {class: "verdict"}), table = h("details", {}, h("summary", {}, "The same in numbers"));
  let answer = null;
  const draw = () => {
    if (!element.isConnected) narrow.removeEventListener("change", draw);
    if (!answer?.trace) return;
    const told = answer.trace.why_not;
    drawing.replaceChildren(picture(answer.trace, answer.items.length, {upright: narrow.matches, item: told && {stage: told.stage, title: told.item}}),
      h("figcaption", {}, inWords(answer.trace)));
  };
  // Whoever turns a phone gets the picture anew.
  narrow.addEventListener("change", draw);
  const element = h("section", {class: "making", "aria-labelledby": "making"},
    h("h2", {id: "making"}, "How this answer was made"),
    drawing, table,
    h("div", {class: "why"}, h("h3", {}, "Why not another item?"),
      search({label: "Item", value: why ?? "", hint: "a word of its title, or its id", find: findItems, choose: onWhy, only: true, action: "Ask"}), verdict));
  return {
    element,
    show(told) {
      answer = told;
      table.hidden = !told.trace;
      if (!told.trace) {
        drawing.replaceChildren(note("This service gave no trace."));
        return;
      }
      draw();
      table.replaceChildren(table.firstChild, numbers(told.trace));
      const not = told.trace.why_not;
      verdict.replaceChildren(...(not ? [h("p", {class: not.stage === "answered" ? "in" : "out", "data-stage": not.stage}, not.text),
        h("button", {type: "button", class: "quiet", onclick: () => onWhy(undefined)}, "Forget the question")] : []));
    },
  };
}

const some = counts => Object.entries(counts ?? {}).filter(([, many]) => many > 0);

/** What was left out and moved, as a sentence under the picture. */
function inWords({candidates, rules}) {
  const out = some(candidates.filtered).map(([name, many]) => `${count(many)} ${CAUSES[name] ?? plain(name)}`);
  const moved = rules.filter(rule => rule.moved > 0).map(({rule, moved}) => `${plain(rule)} moved ${count(moved)}`);
  return [out.length && `Left out: ${out.join(", ")}.`, moved.length && `Rules: ${moved.join(", ")}.`].filter(Boolean).join(" ");
}

function numbers({candidates, ranked, rules, milliseconds: time}) {
  const rows = (entries, shown = count) => entries.map(([name, value]) => h("tr", {}, h("th", {scope: "row"}, name), h("td", {}, shown(value))));
  const part = (name, body) => body.length > 0 && h("table", {}, h("caption", {}, name), h("tbody", {}, body));
  return h("div", {class: "numbers"},
    part("Found by", rows(some(candidates.by_retriever).map(([name, many]) => [plain(name), many]))),
    part("Left out", rows(some(candidates.filtered).map(([name, many]) => [CAUSES[name] ?? plain(name), many]))),
    part("Ranked", rows([["items", ranked]])),
    part("Moved by rules", rows(rules.map(({rule, moved}) => [plain(rule), moved]))),
    part("Time", rows(Object.entries(time ?? {}).map(([name, spent]) => [label(name), spent]), milliseconds)));
}
