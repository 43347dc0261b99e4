// One shopper: who it is, what will be bought next, and how that was worked out.

import * as address from "./address.js";
import * as api from "./api.js";
import {controls} from "./controls.js";
import {fault, h, note, say} from "./dom.js";
import {count, day, milliseconds, split} from "./formats.js";
import {keyed, needsKey} from "./key.js";
import {keepAnswer} from "./kept.js";
import {making} from "./making.js";
import {search} from "./search.js";
import {Slate} from "./slate.js";

// So many days of the history are seen at once.
const DAYS = 3;
const DONE = {purchase: "Bought", cart: "Added to the cart", hide: "Hidden for good"};

export function shopper(view, {id, options}, facts) {
  const user = id || facts.examples[0];
  let asked = 0, answer = null;

  const who = h("header", {class: "who"},
    h("p", {class: "kicker"}, "Shopper"), h("h1", {}, user), h("p", {class: "muted", id: "known"}, " "),
    search({label: "Another shopper", value: "", hint: `for example ${facts.examples.at(-1)}`, action: "Show", find: async text => {
      const {users} = text ? await api.users(text) : {users: facts.examples};
      return users.map(each => ({id: each, text: each}));
    }, choose: each => { location.hash = address.link("shopper", each, options); }}));
  const said = h("p", {class: "meta"}, "…");
  const slate = new Slate({act, span: facts.span});
  const trouble = h("div", {class: "trouble"});
  const made = making({facts, why: options.why, onWhy: item => { set({why: item}); }});
  const past = h("section", {class: "past", "aria-label": "History"});
  view.replaceChildren(h("div", {class: "shopper"}, who,
    h("section", {class: "next", "aria-labelledby": "next"},
      h("header", {class: "bar"}, h("h2", {id: "next"}, "Likely next"), said),
      controls(options, facts, set), trouble, slate.element, made.element),
    past));

  function set(changed) {
    Object.assign(options, changed);
    address.keep("shopper", id ? user : "", options);
    return ask();
  }

  async function ask(done = "") {
    const turn = ++asked;
    slate.busy(true);
    try {
      const body = {...address.body(user, options, facts), trace: true, ...(options.why && {why_not: options.why})};
      const told = await api.recommend(body);
      if (turn !== asked) return;
      answer = told;
      // Another release may have been promoted since the page was loaded.
      facts.release = document.querySelector("#release").textContent = told.release;
      trouble.replaceChildren(...told.degraded.map(text => note(`Not as good as it could be: ${text}`)), told.fallback ? note(told.fallback) : "");
      if (told.items.length === 0) trouble.append(note("Nothing passes these filters. Take one away."));
      said.textContent = `${count(told.items.length)} items in ${milliseconds(told.took_ms)}`
        + (told.widened ? `, after looking further ${told.widened === 1 ? "once" : `${count(told.widened)} times`}` : "");
      const moved = slate.show(told);
      made.show(told);
      keepAnswer(user, told);
      say([done, moved].filter(Boolean).join(" ") || `${told.items.length} items for ${user}.`);
      if (done) said.textContent = [done, moved].filter(Boolean).join(" ");
    } catch (error) {
      if (turn !== asked) return;
      trouble.replaceChildren(fault(error, keyed(error), h("button", {type: "button", onclick: () => ask()}, "Try again"),
        options.why && h("button", {type: "button", onclick: () => set({why: undefined})}, "Without the question about one item")));
    } finally {
      if (turn === asked) slate.busy(false);
    }
  }

  async function act(kind, item) {
    slate.busy(true);
    try {
      await api.feedback(kind, user, item.item_id, answer);
    } catch (error) {
      slate.busy(false);
      trouble.replaceChildren(fault(error, keyed(error)));
      return;
    }
    await Promise.all([ask(`${DONE[kind]}: ${split(item.title, item.item_id)[0]}.`), remember()]);
  }

  async function remember() {
    try {
      const person = await api.person(user);
      who.querySelector("#known").textContent = !person.known ? "No purchase is known to this release." : person.purchases.length
        ? `${count(person.baskets)} baskets, the last on ${day(person.purchases[0].time)}` : `${count(person.baskets)} baskets`;
      past.replaceChildren(...history(person));
    } catch (error) {
      who.querySelector("#known").textContent = "";
      past.replaceChildren(error.status === 404 ? note("This service does not tell histories.")
        : needsKey(error) ? note("The history needs the key, too.") : fault(error));
    }
  }

  document.title = `Shopper ${user} · CORTEX-Rec`;
  ask();
  remember();
}

function history({purchases, events}) {
  const live = events.length > 0 && [h("h2", {}, "Just now"), h("ul", {class: "events"}, events.map(event =>
    h("li", {}, h("span", {class: `kind ${event.kind}`}, event.kind), itemLink(event))))];
  const days = [...Map.groupBy(purchases, line => line.time.slice(0, 10))].map(([date, lines]) => h("div", {},
    h("h3", {}, h("time", {datetime: date}, day(date))), h("ul", {class: "lines"}, lines.map(line =>
      h("li", {}, itemLink(line), line.quantity !== 1 && h("span", {class: "times"}, ` × ${count(line.quantity)}`))))));
  return [live, days.length > 0 && h("h2", {}, "Bought before"), days.slice(0, DAYS),
    days.length > DAYS && h("details", {}, h("summary", {}, "Earlier"), days.slice(DAYS))].flat(Infinity).filter(Boolean);
}

const itemLink = line => h("a", {href: address.link("item", line.item_id), title: line.title}, split(line.title, line.item_id)[0]);
