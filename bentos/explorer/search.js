// A field with suggestions, after the combobox pattern of the ARIA practices: arrows choose, Enter takes, Escape closes.

import {h, unique} from "./dom.js";

/**
 * @param find   text -> promise of [{id, text, rest}]
 * @param choose called with an id
 * @param only   whether what is typed must be one of the suggestions: Enter then takes the first
 */
export function search({label, value = "", hint = "", find, choose, only = false, action}) {
  const list = unique("suggestions");
  let options = [], active = -1, turn = 0, timer = 0;
  const input = h("input", {
    id: unique("search"), type: "text", value, placeholder: hint, role: "combobox", autocomplete: "off", spellcheck: "false", maxlength: "200",
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list,
  });
  // Out of the way of Tab: a browser would stop at a list that scrolls, and it closes when the field is left.
  const box = h("ul", {id: list, role: "listbox", tabindex: "-1", "aria-label": `${label}: suggestions`, hidden: true});

  const close = () => {
    clearTimeout(timer);
    turn++;
    box.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  };
  const take = id => {
    if (!id) return;
    close();
    input.value = id;
    choose(id);
  };
  const mark = place => {
    active = place;
    [...box.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === place)));
    input.setAttribute("aria-activedescendant", box.children[place].id);
    box.children[place].scrollIntoView({block: "nearest"});
  };
  const suggest = async () => {
    const now = ++turn;
    let found = [];
    try {
      found = await find(input.value.trim());
    } catch (error) {
      // Without suggestions an id can still be typed; whether it is known is told where it is used.
      if (error.status !== 404) throw error;
    }
    if (now !== turn || document.activeElement !== input) return;
    options = found;
    active = -1;
    box.replaceChildren(...found.map(({id, text, rest}) => h("li", {
      id: unique("option"), role: "option", "aria-selected": "false", onmousedown: event => { event.preventDefault(); take(id); },
    }, h("span", {}, text), rest && h("small", {}, rest))));
    box.hidden = found.length === 0;
    input.setAttribute("aria-expanded", String(found.length > 0));
  };
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(suggest, 120); });
  input.addEventListener("focus", () => { input.select(); suggest(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", event => {
    if (event.key === "Escape" && !box.hidden) { event.preventDefault(); close(); }
    if (!["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    if (box.hidden) suggest();
    else mark((active + (event.key === "ArrowDown" ? 1 : -1) + (active < 0 && event.key === "ArrowUp" ? 1 : 0) + options.length) % options.length);
  });
  const submit = async event => {
    event.preventDefault();
    const typed = input.value.trim();
    if (active >= 0) return take(options[active].id);
    if (only && typed) {
      const found = await find(typed).catch(() => []);
      return take((found.find(({id}) => id === typed) ?? found[0])?.id ?? typed);
    }
    return take(typed);
  };
  return h("form", {class: "search", onsubmit: submit},
    h("label", {for: input.id}, label), h("div", {class: "field"}, input, box), h("button", {type: "submit"}, action));
}
