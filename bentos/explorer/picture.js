// A trace as a picture: bars as tall as a stage has items, flowing from the retrievers to what is shown.

import {s} from "./dom.js";
import {count, milliseconds, plain} from "./formats.js";

const THICK = 12;
const stage = (name, label, items, time) => ({name, label, items, time});

/** The stages of a trace in their order, each with how many items leave it. */
export function stages(trace, shown) {
  const {candidates, milliseconds: time = {}} = trace;
  const removed = Object.values(candidates.filtered).reduce((sum, each) => sum + each, 0);
  return [
    stage("retrieve", "Found", candidates.total, time.retrieve),
    stage("filter", "Filtered", Math.max(candidates.total - removed, trace.ranked), undefined),
    stage("rank", "Ranked", trace.ranked, (time.features ?? 0) + (time.rank ?? 0)),
    stage("rules", "Rules", trace.ranked, time.rules),
    stage("answered", "Shown", shown, time.explain),
  ];
}

/**
 * The picture of an answer.
 *
 * @param upright whether the stages go from top to bottom, for small screens
 * @param item    of a why-not: the stage where it fell out is marked, {stage, title}
 */
export function picture(trace, shown, {upright, item}) {
  const list = stages(trace, shown), retrievers = Object.entries(trace.candidates.by_retriever).filter(([, many]) => many > 0);
  const found = retrievers.reduce((sum, [, many]) => sum + many, 0);
  // `long` is the way from stage to stage, `wide` the way across, where items are counted.
  const size = upright ? {long: 500, wide: 350, head: 68, start: 118, side: 24} : {long: 960, wide: 330, head: 64, start: 190, side: 40};
  const room = size.wide - size.head - (upright ? 4 : 16), line = 17;
  // Each retriever has room for its name, however little it found; the others are drawn to what scale is left.
  const slot = (many, scale) => Math.max(many * scale + 4, line);
  let scale = room / Math.max(found, trace.candidates.total, 1);
  while (scale > 1e-6 && retrievers.reduce((sum, [, many]) => sum + slot(many, scale), 0) > room) scale *= .97;
  const middle = size.head + room / 2, step = (size.long - size.start - size.side) / list.length;
  const at = place => size.start + step * (place + 1);
  const tall = items => Math.max(items * scale, 3);
  const point = (long, wide) => (upright ? `${wide} ${long}` : `${long} ${wide}`);
  const box = (long, wide, deep, high) => (upright ? {x: wide, y: long, width: high, height: deep} : {x: long, y: wide, width: deep, height: high});
  const flow = (name, from, low, high, to, low2, high2) => {
    const half = (from + to) / 2;
    const curve = (a, b, c, d) => `C${point(half, a)} ${point(half, b)} ${point(c, d)}`;
    return s("path", {class: name, d: `M${point(from, low)}${curve(low, low2, to, low2)}L${point(to, high2)}${curve(high2, high, from, high)}Z`});
  };
  const words = (text, long, wide, name, anchor = "middle") =>
    s("text", {class: name, x: upright ? wide : long, y: upright ? long : wide, "text-anchor": anchor}, text);

  const parts = [], spread = retrievers.reduce((sum, [, many]) => sum + slot(many, scale), 0);
  const foundHigh = tall(list[0].items), share = foundHigh / Math.max(found, 1);
  let begin = middle - spread / 2, into = middle - foundHigh / 2;
  for (const [name, many] of retrievers) {
    const high = Math.max(many * scale, 1), from = begin + (slot(many, scale) - high) / 2;
    parts.push(flow("flow", size.start + THICK, from, from + high, at(0), into, into + many * share));
    parts.push(s("rect", {class: "retriever", rx: 2, ...box(size.start, from, THICK, high)}, s("title", {}, `${plain(name)}: ${count(many)}`)));
    const centre = from + high / 2;
    if (upright) parts.push(s("text", {class: "name", transform: `translate(${centre + 4} ${size.start - 7}) rotate(-90)`}, `${plain(name)} ${count(many)}`));
    else parts.push(words(`${plain(name)}  ${count(many)}`, size.start - 10, centre + 4, "name", "end"));
    begin += slot(many, scale);
    into += many * share;
  }
  list.forEach((each, place) => {
    const high = tall(each.items), low = middle - high / 2, next = list[place + 1];
    if (next) {
      const on = Math.min(tall(next.items), high);
      parts.push(flow("flow", at(place) + THICK, middle - on / 2, middle + on / 2, at(place + 1), middle - on / 2, middle + on / 2));
      for (const side of on < high - 1 ? [-1, 1] : []) {
        // What goes no further: ends half way.
        const edge = middle + side * high / 2, inner = middle + side * on / 2;
        parts.push(flow("lost", at(place) + THICK, inner, edge, at(place) + THICK + step * .38, inner + side * 1, inner + side * 3));
      }
    }
    parts.push(s("rect", {class: `stage ${item?.stage === each.name ? "fell" : ""}`, "data-stage": each.name, rx: 2, ...box(at(place), low, THICK, high)}));
    if (upright) parts.push(words(each.label, at(place) + 4, 0, "label", "start"), words(count(each.items), at(place) + 21, 0, "many", "start"));
    else parts.push(words(each.label, at(place) + THICK / 2, 15, "label"), words(count(each.items), at(place) + THICK / 2, 35, "many"));
    if (each.time !== undefined && !upright) parts.push(words(milliseconds(each.time), at(place) + THICK / 2, 51, "time"));
  });
  if (item) parts.push(path(item, list, {at, middle, point, upright}));
  const [width, height] = upright ? [size.wide, size.long] : [size.long, size.wide];
  return s("svg", {class: `picture ${upright ? "upright" : ""}`, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(trace, list, item)}, parts);
}

/** The way of one item through the stages: a dot at each that it passed, a cross where it fell out. */
function path(item, list, {at, middle, point, upright}) {
  const last = Math.max(list.findIndex(({name}) => name === item.stage), 0);
  const stops = list.slice(0, last + 1).map((_, place) => at(place) + THICK / 2), end = stops.at(-1);
  const shown = item.stage === "answered", line = `M${point(stops[0], middle)}L${point(end, middle)}`;
  const [x, y] = upright ? [middle, end] : [end, middle];
  return s("g", {class: "way"}, s("path", {d: line}), stops.slice(0, -1).map(long => s("circle", upright ? {cx: middle, cy: long, r: 4} : {cx: long, cy: middle, r: 4})),
    s("circle", {class: "end", cx: x, cy: y, r: 11}),
    shown ? s("path", {class: "mark", d: `M${x - 4.5} ${y}l3.2 3.4 6-7`}) : s("path", {class: "mark", d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8`}));
}

function spoken(trace, list, item) {
  const found = Object.entries(trace.candidates.by_retriever).map(([name, many]) => `${plain(name)} ${count(many)}`).join(", ");
  const way = list.map(({label, items}) => `${label.toLowerCase()} ${count(items)}`).join(", ");
  return `How the answer was made. Retrievers: ${found}. Stages: ${way}.${item ? ` ${item.title}: ${item.stage}.` : ""}`;
}
