// Elements made from data: text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

/** An HTML element: `h("a", {href: "#"}, "text", other)`; attributes that are null or false are left out. */
export const h = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);

/** The same for SVG. */
export const s = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

/** Say something to who listens to a screen reader. */
export function say(text) {
  document.querySelector("#said").textContent = text;
}

let made = 0;

/** An id that no other element has. */
export const unique = name => `${name}-${++made}`;

/** Whatever went wrong, in place, with the way out. */
export function fault(error, ...ways) {
  return h("div", {class: "fault", role: "alert"}, h("strong", {}, error.heading ?? "That did not work"), h("p", {}, error.message), ways);
}

/** A quiet note in place of a part that cannot be shown. */
export const note = (...text) => h("p", {class: "note"}, text);
