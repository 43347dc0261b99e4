// What is shown lives in the address after `#`, so that a link shows the same to somebody else:
// #shopper/208?diversity=0.3&new=0.2&department=GROCERY

const NUMBERS = {n: [1, 100], diversity: [0, 1], new: [0, 1], bought: [0, 36500], from: [0, 1e9], to: [0, 1e9]};
const TEXTS = ["group", "stock", "why", "left", "right"];

/** The view, its subject and its options; what cannot be understood is left out. */
export function read(hash = location.hash) {
  const [where, query = ""] = hash.replace(/^#/, "").split("?", 2);
  const [view, ...rest] = where.split("/");
  let id = rest.join("/");
  try { id = decodeURIComponent(id); } catch { /* a stray percent sign: as it is written */ }
  const given = new URLSearchParams(query), options = {};
  for (const [name, [low, high]] of Object.entries(NUMBERS)) {
    const value = given.get(name) === null ? NaN : Number(given.get(name));
    if (value >= low && value <= high) options[name] = name === "n" ? Math.round(value) : value;
  }
  for (const name of TEXTS) if (given.get(name)) options[name] = given.get(name);
  return {view: view || "shopper", id, options};
}

export function link(view, id = "", options = {}) {
  const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value !== undefined && value !== "" && value !== 0));
  return `#${view}${id ? `/${encodeURIComponent(id)}` : ""}${query.size ? `?${query}` : ""}`;
}

/** Put new options into the address without a step in the browser's history. */
export function keep(view, id, options) {
  history.replaceState(null, "", link(view, id, options));
}

/** Options as `POST /recommend` wants them; `facts.group` is the group that can be filtered by. */
export function body(user, options, facts) {
  const filters = {}, rules = {};
  if (options.group) filters.groups = {[facts.group]: [options.group]};
  if (options.bought !== undefined) filters.bought_days = options.bought;
  if (options.from !== undefined) filters.price_from = options.from;
  if (options.to !== undefined) filters.price_to = options.to;
  if (options.stock) filters.in_store = true;
  if (options.diversity) rules.diversity = options.diversity;
  if (options.new) rules.new_share = options.new;
  return {user_id: user, n: options.n ?? 12, filters, rules};
}
