// Two lists for one shopper, side by side: rules against none, personal against popular, one release against another.

import * as address from "./address.js";
import * as api from "./api.js";
import {fault, h, note, s, unique} from "./dom.js";
import {count, percent, split} from "./formats.js";
import {fromFile, keptAnswers} from "./kept.js";
import {keyed} from "./key.js";
import {search} from "./search.js";

const N = 15;
const when = new Intl.DateTimeFormat(undefined, {dateStyle: "short", timeStyle: "short"});

export function compare(view, {id, options}, facts) {
  const user = id || facts.examples[0], opened = [], board = h("div", {class: "board"});
  const sides = {left: "plain", right: "popular"};
  Object.assign(sides, Object.fromEntries(Object.keys(sides).filter(side => options[side]).map(side => [side, options[side]])));

  /** Where a list can come from: name -> label and promise of an answer. */
  function sources() {
    const asked = changes => () => api.recommend({...address.body(user, {...options, ...changes}, facts), n: N, explain: false});
    const kept = keptAnswers().filter(answer => answer.user === user && answer.release !== facts.release);
    return {
      plain: ["This release", asked({diversity: 0, new: 0})],
      diverse: ["This release, diversity 50 %", asked({diversity: .5})],
      fresh: ["This release, half new to the shopper", asked({new: .5})],
      popular: ["What is popular", () => api.popular(N)],
      ...Object.fromEntries([...kept, ...opened].map(answer => [`release ${answer.release}`,
        [`Release ${answer.release}, seen ${when.format(answer.when)}`, async () => ({...answer, items: answer.items.slice(0, N)})]])),
    };
  }

  function chooser(side) {
    const id = unique("side"), select = h("select", {id, onchange: () => { sides[side] = select.value; address.keep("compare", user, {...options, ...sides}); draw(); }});
    const fill = () => select.replaceChildren(...Object.entries(sources()).map(([value, [text]]) => h("option", {value, selected: sides[side] === value}, text)));
    fill();
    return {fill, element: h("div", {class: "choice"}, h("label", {for: id}, side === "left" ? "Left" : "Right"), select)};
  }

  async function draw() {
    board.setAttribute("aria-busy", "true");
    try {
      const known = sources(), [left, right] = await Promise.all(Object.values(sides).map(name => {
        if (!known[name]) throw new Error(`This browser has no answer of ${name}. Open one from a file, or choose another side.`);
        return known[name][1]();
      }));
      board.replaceChildren(...beside(left, right, Object.values(sides).map(name => known[name][0])));
    } catch (error) {
      board.replaceChildren(fault(error, keyed(error)));
    }
    board.setAttribute("aria-busy", "false");
  }

  const choosers = Object.keys(sides).map(chooser);
  const wrong = h("div");
  const file = h("input", {type: "file", accept: "application/json,.json", class: "unseen", id: "open", onchange: async event => {
    try {
      opened.push(await fromFile(event.target.files[0]));
      choosers.forEach(each => each.fill());
      wrong.replaceChildren(note(`Opened: release ${opened.at(-1).release}. Choose it as a side.`));
    } catch (error) {
      wrong.replaceChildren(fault(error));
    }
  }});
  const save = async () => {
    try {
      const told = {user, when: Date.now(), ...await sources().plain[1]()};
      const url = URL.createObjectURL(new Blob([JSON.stringify(told, null, 1)], {type: "application/json"}));
      h("a", {href: url, download: `${user}-${told.release}.json`}).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    } catch (error) {
      wrong.replaceChildren(fault(error, keyed(error)));
    }
  };
  view.replaceChildren(h("div", {class: "compare"},
    h("header", {class: "who"}, h("p", {class: "kicker"}, "Side by side"), h("h1", {}, `Shopper ${user}`)),
    h("div", {class: "controls"},
      search({label: "Another shopper", hint: `for example ${facts.examples.at(-1)}`, action: "Show", choose: each => { location.hash = address.link("compare", each, sides); },
        find: async text => (text ? (await api.users(text)).users : facts.examples).map(each => ({id: each, text: each}))}),
      choosers.map(each => each.element)),
    board,
    h("section", {"aria-labelledby": "releases"}, h("h2", {id: "releases"}, "Two releases"),
      h("p", {class: "muted"}, "A service holds one release at a time. This browser keeps the answers that it saw: when a newer release is promoted, those of the older one stay here as a side. ",
        "An answer saved elsewhere can be opened, too."),
      h("p", {class: "links"}, h("button", {type: "button", onclick: save}, "Save this release's answer"), file, h("label", {for: "open", class: "button"}, "Open an answer")), wrong)));
  document.title = `Compare for ${user} · CORTEX-Rec`;
  draw();
}

function beside(left, right, names) {
  const place = answer => new Map(answer.items.map((item, at) => [item.item_id, at]));
  const [ours, theirs] = [place(left), place(right)], both = [...ours.keys()].filter(item => theirs.has(item));
  const rows = Math.max(left.items.length, right.items.length, 1);
  const lines = s("svg", {class: "slopes", viewBox: `0 0 100 ${rows * 10}`, preserveAspectRatio: "none", "aria-hidden": "true"}, both.map(item => {
    const [a, b] = [ours.get(item) * 10 + 5, theirs.get(item) * 10 + 5];
    return s("path", {class: a === b ? "same" : a > b ? "up" : "down", d: `M0 ${a}C50 ${a} 50 ${b} 100 ${b}`});
  }));
  return [h("p", {class: "meta"}, `${count(both.length)} of ${count(left.items.length)} items are in both, ${count(both.filter(item => ours.get(item) === theirs.get(item)).length)} at the same place.`),
    h("div", {class: "beside"}, column(left, theirs, names[0]), lines, column(right, ours, names[1]))];
}

function column(answer, other, name) {
  return h("section", {"aria-label": name}, h("h2", {}, name), h("ol", {}, answer.items.map((item, at) => {
    const there = other.get(item.item_id), [head, rest] = split(item.title, item.item_id);
    return h("li", {class: there === undefined ? "alone" : ""}, h("span", {class: "at"}, at + 1),
      h("a", {href: address.link("item", item.item_id), title: item.title}, head, " ", h("small", {}, rest)),
      h("small", {}, there === undefined ? "only here" : there === at ? "" : `there ${there + 1}`),
      item.probability !== null && item.probability !== undefined && h("b", {}, percent(item.probability)));
  })));
}
