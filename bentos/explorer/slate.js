// The recommendations as cards, and what moved since the last answer.

import {details} from "./details.js";
import {h} from "./dom.js";
import {percent, split} from "./formats.js";

const ACTIONS = [["purchase", "Bought"], ["cart", "Add to cart"], ["hide", "Hide"]];
const calmly = matchMedia("(prefers-reduced-motion: reduce)");

export class Slate {
  #act; #span; #places = new Map();

  /** @param act called with a kind of event and the item of a card */
  constructor({act, span}) {
    this.#act = act;
    this.#span = span;
    this.element = h("ol", {class: "slate", "aria-label": "Recommended items"});
  }

  busy(is) {
    this.element.setAttribute("aria-busy", String(is));
  }

  /** Put an answer in place of the last one; the sentence says what changed, and is empty the first time. */
  show(answer) {
    const before = this.#places, first = before.size === 0;
    const stood = new Map([...this.element.children].map(card => [card.dataset.item, card.getBoundingClientRect()]));
    const held = document.activeElement?.closest?.(".slate .card");
    const focus = held && {item: held.dataset.item, place: [...this.element.children].indexOf(held), name: document.activeElement.dataset.name};
    this.#places = new Map(answer.items.map((item, place) => [item.item_id, place]));
    const most = Math.max(...answer.items.map(item => item.probability ?? 0));
    this.element.replaceChildren(...answer.items.map((item, place) => this.#card(item, place, first ? null : before.get(item.item_id), most, answer)));
    if (focus) this.#focusAgain(focus);
    if (!first && !calmly.matches) for (const card of this.element.children) glide(card, stood.get(card.dataset.item));
    return first ? "" : told(before, this.#places);
  }

  #card(item, place, before, most, answer) {
    const [head, rest] = split(item.title, item.item_id);
    const chance = item.probability !== null && h("p", {class: "chance"}, h("b", {}, percent(item.probability)), h("small", {}, ` within ${this.#span}`));
    const bar = item.probability !== null && h("div", {class: "meter", "aria-hidden": "true"}, h("i"));
    if (bar) bar.firstChild.style.inlineSize = `${100 * item.probability / most}%`;
    const open = () => details(item, answer, this.#span);
    return h("li", {class: "card", "data-item": item.item_id},
      h("div", {class: "place"}, h("span", {}, place + 1), before !== null && badge(place, before), chance),
      bar,
      h("h3", {}, h("button", {type: "button", class: "open", "data-name": "open", "aria-haspopup": "dialog", onclick: open}, head)),
      h("p", {class: "rest"}, rest),
      h("ul", {class: "reasons", "aria-label": "Why"}, item.reasons.map(reason => h("li", {}, reason))),
      h("div", {class: "actions"}, ACTIONS.map(([kind, name]) =>
        h("button", {type: "button", "data-name": kind, "aria-label": `${name}: ${head}`, onclick: () => this.#act(kind, item)}, name))));
  }

  /** The buttons were made anew: whoever stood on one stands on it again, or on the one that took its place. */
  #focusAgain({item, place, name}) {
    const cards = [...this.element.children];
    const card = cards.find(each => each.dataset.item === item) ?? cards[Math.min(place, cards.length - 1)];
    card?.querySelector(`[data-name="${name}"]`)?.focus({preventScroll: true});
  }
}

function badge(place, before) {
  if (before === undefined) return h("em", {class: "badge new"}, "new");
  if (before === place) return null;
  const rose = place < before, by = Math.abs(before - place);
  return h("em", {class: `badge ${rose ? "up" : "down"}`},
    h("span", {"aria-hidden": "true"}, `${rose ? "▲" : "▼"} ${by}`), h("span", {class: "unseen"}, `${rose ? "up" : "down"} ${by}`));
}

/** From where it stood to where it stands; who was not there before fades in. */
function glide(card, stood) {
  const timing = {duration: 420, easing: "cubic-bezier(.2, .7, .2, 1)"};
  if (!stood) return card.animate([{opacity: 0, transform: "scale(.97)"}, {opacity: 1, transform: "none"}], timing);
  const stands = card.getBoundingClientRect(), x = stood.left - stands.left, y = stood.top - stands.top;
  return x || y ? card.animate([{transform: `translate(${x}px, ${y}px)`}, {transform: "none"}], timing) : null;
}

function told(before, after) {
  const stayed = [...after].filter(([item]) => before.has(item));
  const parts = [
    [after.size - stayed.length, "new"],
    [stayed.filter(([item, place]) => place < before.get(item)).length, "up"],
    [stayed.filter(([item, place]) => place > before.get(item)).length, "down"],
    [before.size - stayed.length, "gone"],
  ].filter(([many]) => many > 0).map(([many, what]) => `${many} ${what}`);
  return parts.length ? `${parts.join(", ")}.` : "Nothing moved.";
}
