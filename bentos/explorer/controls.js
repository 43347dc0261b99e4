// Rules and filters: each change asks again.

import {h, unique} from "./dom.js";
import {calm, label} from "./formats.js";

const shown = value => new Intl.NumberFormat(undefined, {style: "percent", maximumFractionDigits: 0}).format(value);

function slider(label, explained, name, options, set) {
  const id = unique("slider");
  const told = h("output", {for: id}, shown(options[name] ?? 0));
  const input = h("input", {id, type: "range", min: "0", max: "1", step: "0.05", value: String(options[name] ?? 0), "aria-describedby": `${id}-hint`,
    "aria-valuetext": shown(options[name] ?? 0)});
  let timer = 0;
  input.addEventListener("input", () => {
    told.textContent = shown(input.value);
    input.setAttribute("aria-valuetext", told.textContent);
    clearTimeout(timer);
    timer = setTimeout(() => set({[name]: Number(input.value)}), 150);
  });
  return h("div", {class: "slider"}, h("label", {for: id}, label), told, input, h("small", {id: `${id}-hint`}, explained));
}

function choice(label, name, values, options, set) {
  const id = unique("choice");
  return h("div", {class: "choice"}, h("label", {for: id}, label), h("select", {id, onchange: event => set({[name]: event.target.value || undefined})},
    values.map(([value, text]) => h("option", {value, selected: String(options[name] ?? "") === value}, text))));
}

function amount(label, name, unit, options, set) {
  const id = unique("amount");
  const changed = event => event.target.validity.valid && set({[name]: event.target.value === "" ? undefined : Number(event.target.value)});
  return h("div", {class: "choice"}, h("label", {for: id}, label),
    h("input", {id, type: "number", min: "0", step: "any", inputmode: "decimal", placeholder: unit, value: options[name] ?? "", onchange: changed}));
}

/** The bar above the cards; `set` takes changed options and asks again. */
export function controls(options, facts, set) {
  const more = ["bought", "from", "to", "stock"].some(name => options[name] !== undefined);
  return h("div", {class: "controls", role: "group", "aria-label": "Rules and filters"},
    slider("Diversity", "less of the same", "diversity", options, set),
    slider("New to the shopper", "share of places at least", "new", options, set),
    choice(label(facts.group), "group", [["", "all"], ...facts.values.map(value => [value, calm(value)])], options, set),
    h("details", {class: "more", open: more}, h("summary", {}, "More filters"), h("div", {class: "row"},
      amount("Not bought within", "bought", "days", options, set),
      amount("Price from", "from", "any", options, set),
      amount("Price to", "to", "any", options, set),
      choice("In their store", "stock", [["", "any"], ["1", "sold lately"]], options, set),
      choice("How many", "n", [["6", "6"], ["12", "12"], ["24", "24"], ["48", "48"]], {n: 12, ...options},
        changed => set({n: Number(changed.n)})))));
}
