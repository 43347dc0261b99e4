// Item pages: what is known of an item and what is like it; without one, a search and what sells.

import * as address from "./address.js";
import * as api from "./api.js";
import {fault, h, note} from "./dom.js";
import {calm, count, label, money, split} from "./formats.js";
import {keyed} from "./key.js";
import {findItems} from "./making.js";
import {search} from "./search.js";

export function items(view, {id}) {
  const page = h("div", {class: "item"});
  view.replaceChildren(h("div", {class: "narrow"}, search({
    label: "Item", hint: "a word of its title, or its id", find: findItems, only: true, action: "Show",
    choose: item => { location.hash = address.link("item", item); },
  }), page));
  document.title = `${id || "Items"} · CORTEX-Rec`;
  return id ? one(page, id) : bestsellers(page);
}

async function one(page, id) {
  try {
    const item = await api.item(id), [head, rest] = split(item.title, item.item_id);
    const near = h("section", {"aria-labelledby": "near"}, h("h2", {id: "near"}, "Similar items"));
    page.replaceChildren(
      h("header", {}, h("p", {class: "kicker"}, "Item ", h("code", {}, item.item_id)), h("h1", {}, head), h("p", {class: "lead"}, rest),
        item.description && h("p", {}, item.description)),
      h("dl", {class: "facts wide"}, Object.entries(item.groups).map(([group, value]) => h("div", {}, h("dt", {}, label(group)), h("dd", {}, calm(value)))),
        h("div", {}, h("dt", {}, "Price, last seen"), h("dd", {}, item.price === null ? "not known" : money(item.price))),
        h("div", {}, h("dt", {}, "Sold in four weeks"), h("dd", {}, count(item.sales)))),
      near);
    document.title = `${head} · CORTEX-Rec`;
    await list(near, () => api.similar(id, 12), "Nothing is like it.");
  } catch (error) {
    page.replaceChildren(fault(error, keyed(error), h("a", {href: address.link("item")}, "To all items")));
  }
}

async function bestsellers(page) {
  const sold = h("section", {"aria-labelledby": "sold"}, h("h2", {id: "sold"}, "What sells most now"));
  const rising = h("section", {"aria-labelledby": "rising"}, h("h2", {id: "rising"}, "What sells more than before"));
  page.replaceChildren(h("header", {}, h("h1", {}, "Items")), sold, rising);
  await Promise.all([list(sold, () => api.popular(12), "Nothing was sold lately."), list(rising, () => api.trending(12), "Nothing rises.")]);
}

/** Items as links, or why there are none. */
async function list(section, ask, none) {
  try {
    const {items: found} = await ask();
    section.append(found.length ? h("ul", {class: "tiles"}, found.map(item => {
      const [head, rest] = split(item.title, item.item_id);
      return h("li", {}, h("a", {href: address.link("item", item.item_id)}, h("b", {}, head), rest && h("small", {}, rest), h("code", {}, item.item_id)));
    })) : note(none));
  } catch (error) {
    section.append(error.status === 404 ? note("This service does not tell.") : fault(error, keyed(error)));
  }
}
