// A field for an API key where a refusal says that one is needed; it stays in this tab and is gone with it.

import * as api from "./api.js";
import {h} from "./dom.js";

/** Whether an error is that a key is missing, or may not do this. */
export const needsKey = error => error.status === 401 || error.status === 403;

/** The field, if a key is what an error asks for; once it is given, the whole view is shown anew. */
export function keyed(error) {
  if (!needsKey(error)) return null;
  const field = h("input", {type: "password", name: "key", autocomplete: "off", required: true});
  const use = event => {
    event.preventDefault();
    api.useKey(field.value.trim());
    dispatchEvent(new Event("hashchange"));
  };
  return h("form", {class: "search", onsubmit: use}, h("label", {}, "API key", field), h("button", {type: "submit"}, "Use it"));
}
