// From the address to a view.

import * as address from "./address.js";
import {compare} from "./compare.js";
import {day} from "./formats.js";
import {items} from "./items.js";
import {shopper} from "./shopper.js";

const VIEWS = {shopper, item: items, compare};
const facts = JSON.parse(document.querySelector("#facts").textContent);
const main = document.querySelector("#main"), view = document.querySelector("#view"), about = document.querySelector("#story");
let before = "";

function show() {
  const asked = address.read(), name = asked.view in VIEWS || asked.view === "about" ? asked.view : "shopper";
  about.hidden = name !== "about";
  view.hidden = name === "about";
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    // The shopper goes along from one view to the other.
    if (asked.id && name !== "item" && ["shopper", "compare"].includes(link.dataset.view)) link.href = address.link(link.dataset.view, asked.id);
  }
  if (name === "about") document.title = "About · CORTEX-Rec";
  else VIEWS[name](view, asked, facts);
  // Whoever followed a link starts at the top of what it leads to.
  if (before && before !== `${name}/${asked.id}`) { main.focus({preventScroll: true}); scrollTo(0, 0); }
  before = `${name}/${asked.id}`;
}

document.querySelector("#skip").addEventListener("click", event => { event.preventDefault(); main.focus(); });
for (const number of document.querySelectorAll("#story data")) {
  const decimals = number.textContent.split(".")[1]?.length ?? 0;
  number.textContent = new Intl.NumberFormat(undefined, {minimumFractionDigits: decimals, maximumFractionDigits: decimals}).format(number.value);
}
for (const date of document.querySelectorAll("#story time")) date.textContent = day(date.dateTime);
document.querySelectorAll(".host").forEach(place => { place.textContent = new URL(".", location).href.replace(/\/$/, ""); });
addEventListener("hashchange", show);
show();
