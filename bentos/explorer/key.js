// A field for an API key where a refusal says that one is needed; it stays in this tab and is gone with it.

import * as api from "./api.js";
import {h} from "./dom.js";

export function keyed(error, again) {
  if (error.status !== 401 && error.status !== 403) return null;
  const field = h("input", {type: "password", name: "key", autocomplete: "off", required: true});
  return h("form", {class: "search", onsubmit: event => { event.preventDefault(); api.useKey(field.value.trim()); again(); }},
    h("label", {}, "API key", field), h("button", {type: "submit"}, "Use it"));
}
