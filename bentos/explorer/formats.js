// Numbers and dates in the browser's language; titles as a person would write them.

const number = options => { const format = new Intl.NumberFormat(undefined, options); return value => format.format(value); };
const percentFine = number({style: "percent", maximumFractionDigits: 1, minimumFractionDigits: 1});
const percentCoarse = number({style: "percent", maximumFractionDigits: 0});

export const count = number({maximumFractionDigits: 0});
export const fine = number({maximumFractionDigits: 3});
export const signed = number({maximumFractionDigits: 2, minimumFractionDigits: 2, signDisplay: "exceptZero"});
export const money = number({maximumFractionDigits: 2, minimumFractionDigits: 2});
export const milliseconds = value => `${number({maximumFractionDigits: value < 10 ? 1 : 0})(value)} ms`;
export const percent = value => (value < .0995 ? percentFine : percentCoarse)(value);

// A release's times are those of its shop, without a zone: shown as they are written.
const dayFormat = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeZone: "UTC"});
export const day = iso => dayFormat.format(new Date(/Z|[+-]\d\d:?\d\d$/.test(iso) ? iso : `${iso}Z`));

/** A title as a headline and the rest: "fluid milk, dairy, 1 l" reads better as two lines. */
export function split(title, id) {
  if (!title) return [id, "no title"];
  const comma = title.indexOf(", ");
  const [head, rest] = comma > 0 ? [title.slice(0, comma), title.slice(comma + 2)] : [title, ""];
  return [head.charAt(0).toUpperCase() + head.slice(1), rest];
}

/** "own_price" as "own price". */
export const plain = name => name.replaceAll("_", " ");

/** "own_price" as "Own price". */
export const label = name => name.charAt(0).toUpperCase() + plain(name).slice(1);

/** "DRUG GM" as "Drug gm": a shop's capitals shout. */
export const calm = name => (name === name.toUpperCase() ? name.charAt(0) + name.slice(1).toLowerCase() : name);
