// Every question to the service, and what its refusals mean. Addresses are relative, so that a path in front does no harm.

/** A refusal of the service, or none at all: `message` names the way out, `status` is 0 where nothing answered. */
export class Fault extends Error {
  constructor(status, error, detail) {
    super(detail);
    Object.assign(this, {status, error});
    this.heading = status === 0 ? "No answer from the service" : status === 401 || status === 403 ? "A key is needed" : "The service refused";
  }
}

async function ask(path, body) {
  const headers = body ? {"Content-Type": "application/json"} : {};
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, {method: body ? "POST" : "GET", headers, body: body ? JSON.stringify(body) : undefined});
  } catch (error) {
    throw new Fault(0, "unreachable", `Is it still running? Start it again with \`cortex-rec serve\`, then reload this page. (${error.message})`);
  }
  let told = null;
  try {
    told = await response.json();
  } catch {
    throw new Fault(response.status, "not_json", `Status ${response.status}, and no JSON. Something between this page and the service answered.`);
  }
  if (!response.ok) throw new Fault(response.status, told.error, told.detail);
  return told;
}

const path = encodeURIComponent;

export const useKey = key => sessionStorage.setItem("key", key);
export const recommend = body => ask("recommend", body);
export const popular = n => ask(`api/popular?n=${n}`);
export const trending = n => ask(`api/trending?n=${n}`);
export const similar = (item, n) => ask(`api/similar/${path(item)}?n=${n}`);
export const item = id => ask(`api/items/${path(id)}`);
export const items = text => ask(`api/items?q=${path(text)}&n=8`);
export const users = text => ask(`api/users?q=${path(text)}&n=8`);
export const person = id => ask(`api/users/${path(id)}`);

/** An id that nobody else makes; `crypto.randomUUID` is only there under https and on this machine. */
const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");

// What is bought while this page is open is one basket.
const basket = fresh();

/** Tell what a shopper did with an item of an answer. */
export function feedback(kind, user, item, answer) {
  const event = {event_id: fresh(), kind, user_id: user, item_id: item, impression_id: answer.impression_id};
  return ask("feedback", {events: [kind === "purchase" ? {...event, basket_id: basket} : event]});
}
