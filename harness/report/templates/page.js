// The page's moving parts: the what-if controls and the browser of examples. Without scripts the rest reads as it is.
const $ = id => document.getElementById(id);
const make = (tag, attrs = {}, ...children) => {
  const svg = ["svg", "line", "text", "polyline", "circle"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
    else if (v === true) node.setAttribute(k, "");
    else if (v !== false && v != null) node.setAttribute(k, v);
  }
  node.append(...children.flat().filter(c => c != null));
  return node;
};

// Numbers, as harness/report/figures.py writes them.
const usd = v => {
  if (v == null) return "unknown";
  if (!isFinite(v)) return "no limit";
  const sign = v < 0 ? "−" : "", size = Math.abs(v);
  if (size === 0) return "$0";
  if (size >= 99.995) return sign + "$" + Math.round(size).toLocaleString("en-US");
  const n = Math.min(Math.max(2 - Math.floor(Math.log10(size)), 2), 12);
  let text = size.toFixed(n);
  if (n > 2) { text = text.replace(/0+$/, ""); text += "0".repeat(Math.max(0, 2 - (text.split(".")[1] || "").length)); }
  return sign + "$" + text;
};
const about = v => {
  if (!isFinite(v)) return "no number of";
  for (const [size, word] of [[1e12, " trillion"], [1e9, " billion"], [1e6, " million"]]) if (v >= size) return +(v / size).toPrecision(3) + word;
  if (v < 100) return Math.round(v).toString();
  const step = 10 ** (Math.floor(Math.log10(v)) - 2);
  return (Math.round(v / step) * step).toLocaleString("en-US");
};
const many = (n, word) => `${n.toLocaleString("en-US")} ${word}${n === 1 ? "" : "s"}`;
const span = months => {
  if (!isFinite(months)) return "never";
  const days = months * 365.25 / 12;
  if (days < 1) return "under a day";
  if (days < 13.5) return many(Math.round(days), "day");
  if (days < 90) return many(Math.round(days / 7), "week");
  return months < 36 ? many(Math.round(months), "month") : months < 240 ? `${(months / 12).toFixed(1)} years` : many(Math.round(months / 12), "year");
};
const dayAfter = (day, months) => {
  if (!isFinite(months) || months > 1200) return "";
  const date = new Date(Date.parse(day + "T00:00:00Z") + months * 365.25 / 12 * 864e5);
  return date.toLocaleDateString("en-GB", {day: "numeric", month: "long", year: "numeric", timeZone: "UTC"});
};

const niceTicks = (top, most) => {
  const size = 10 ** Math.floor(Math.log10(top / most)), step = [1, 2, 2.5, 5, 10].map(m => m * size).find(s => s >= top / most * .9999);
  return Array.from({length: Math.floor(top / step + 1e-9)}, (_, i) => +((i + 1) * step).toPrecision(12));
};

// Text in which nothing hides, as harness/report/text.py shows it.
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Cs}]/gu;
const visible = text => text.replace(/\r\n/g, "\n").replace(UNSEEN, c => {
  const code = c.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (code >= 0xd800 && code <= 0xdfff) return "\ufffd";
  return `⟦U+${code.toString(16).toUpperCase().padStart(4, "0")}⟧`;
});
const LONGEST = 2000, MOST_LINES = 80;
const cut = text => {
  const kept = text.slice(0, LONGEST).split("\n").slice(0, MOST_LINES).join("\n");
  return kept.length === text.length ? visible(text) : `${visible(kept)} … [${(text.length - kept.length).toLocaleString("en-US")} more characters]`;
};
const oneLine = (text, longest = 120) => {
  const flat = text.slice(0, 4 * longest).split(/\s+/).filter(Boolean).join(" ");
  return visible(flat.length <= longest ? flat : flat.slice(0, longest - 1) + "…");
};
const HAN = "\\u3040-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\uac00-\\ud7af\\u{20000}-\\u{3ffff}", LETTER = `(?:(?![${HAN}])[\\p{L}\\p{N}\\p{M}])`;
const WORD = new RegExp(`[${HAN}]\\p{M}*|[\\u{1f1e6}-\\u{1f1ff}]{2}|${LETTER}+(?:['’-]${LETTER}+)*|\\s+|.(?:[\\p{M}\\u{1f3fb}-\\u{1f3ff}]|\\u200d.)*`, "gsu");
const counts = word => /[\p{L}\p{N}\p{M}\p{So}]/u.test(word);
const difference = (answer, target, ordered) => {
  const a = answer.match(WORD) || [], b = target.match(WORD) || [];
  if (a.length > 1200 || b.length > 1200) return [["same", answer]];
  return ordered ? aligned(a, b) : lookedUp(a, b);
};
const lookedUp = (a, b) => {
  const left = new Map(), out = [];
  for (const w of b) if (counts(w)) left.set(w.toLowerCase(), (left.get(w.toLowerCase()) || 0) + 1);
  const take = w => { const k = w.toLowerCase(), n = left.get(k) || 0; if (n) left.set(k, n - 1); return n > 0; };
  for (const w of a) out.push([!counts(w) || take(w) ? "same" : "extra", w]);
  let item = 0, at = -1, between = "";
  for (const w of b) {
    if (!counts(w)) { item += w.includes("\n"); if (between != null) between += w; }
    else if (!take(w)) between = null;
    else {
      if (at !== item) out.push(["same", at < 0 ? " " : ", "], ["lacking", w]); else out.push(["lacking", (between ?? " ") + w]);
      at = item; between = "";
    }
  }
  return out;
};
const aligned = (a, b) => {
  const fa = a.map(w => w.toLowerCase()), fb = b.map(w => w.toLowerCase()), width = fb.length + 1;
  const best = new Uint16Array((fa.length + 1) * width);
  for (let i = fa.length - 1; i >= 0; i--) for (let j = fb.length - 1; j >= 0; j--)
    best[i * width + j] = fa[i] === fb[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
  const out = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && fa[i] === fb[j]) { out.push(["same", a[i++]]); j++; }
    else if (i < a.length && (j >= b.length || best[(i + 1) * width + j] >= best[i * width + j + 1])) out.push(["extra", a[i++]]);
    else out.push(["lacking", b[j++]]);
  }
  return out;
};
const marked = pieces => {
  const joined = [];
  for (const [kind, text] of pieces) {
    const [last, before] = [joined.at(-1), joined.at(-2)];
    if (last && last[0] === kind) last[1] += text;
    else if (before && kind !== "same" && before[0] === kind && last[0] === "same" && !last[1].trim()) { joined.pop(); before[1] += last[1] + text; }
    else joined.push([kind, text]);
  }
  return joined.map(([kind, text]) => kind === "same" ? cut(text) : make(kind === "extra" ? "ins" : "del", {}, cut(text)));
};

// What if
const facts = JSON.parse($("facts").textContent);
const CONTROLS = [
  ["requests", "requests a month", 10, 1e8, "log"],
  ["base", "baseline, $ per 1,000", 1e-4, 100, "log"],
  ["tuned", "fine-tune, $ per 1,000", 1e-4, 100, "log"],
  ["fixed", "extra cost once, $", 0, 5000, ""],
  ["hosting", "extra hosting a month, $", 0, 3000, ""],
  ["months", "horizon, months", 1, 60, ""],
  ["retrain", "months to retraining", 0, 36, ""],
  ["value", "a correct answer is worth, $", 1e-5, 10, "log"],
];
const tidy = v => v == null ? null : +Number(v).toPrecision(4);
const more = (name, key) => {
  const c = facts.arms[facts.candidate][key], b = facts.arms[name][key];
  return c == null || b == null ? null : c - b;
};
// What is not known stays null, an empty box: it is never taken to cost nothing.
const stated = name => {
  const thousand = usd => usd == null ? null : tidy(1000 * usd);
  return {requests: facts.terms.requests ?? null, base: thousand(facts.arms[name].usd), tuned: thousand(facts.arms[facts.candidate].usd),
    fixed: tidy(more(name, "fixed")), hosting: tidy(more(name, "hosting")), months: facts.terms.months, retrain: facts.terms.retrain ?? 0, value: facts.terms.value ?? 0};
};
const compute = (name, shown) => {
  const same = stated(name), as = key => shown[key] === same[key] ? null : shown[key] / 1000, exact = (key, v) => shown[key] === same[key] ? v : shown[key];
  const terms = {requests: shown.requests, base: as("base"), tuned: as("tuned"), fixed: exact("fixed", more(name, "fixed")), hosting: exact("hosting", more(name, "hosting")),
    months: shown.months, retrain: shown.retrain > 0 ? shown.retrain : null, value: shown.value};
  return {terms, ...economics.answer(facts.ledgers[name], terms, facts.daysLeft)};
};
const paid = (f, t) => {
  const {months} = f.payback;
  if (!months || t.value || f.quadrant.name === "dominated") return "";
  if (months === Infinity) return " It does not pay back.";
  if (months > f.life.months) return ` It would pay back in ${span(months)} and lives ${span(f.life.months)}.`;
  return ` It pays back in ${span(months)}, by ${dayAfter(facts.day, months)}.`;
};
const between = (low, high) => usd(low) === usd(high) ? "" : ` [${usd(low)}, ${usd(high)}]`;
const sentence = (f, t) => {
  const over = `over ${span(f.life.months)}`, volume = `at ${about(t.requests)} requests a month ${over}`;
  const [a, low, high] = [f.after.mean, f.after.low, f.after.high].map(v => v * t.requests);
  if (t.value) {
    const word = {yes: "Worth it", no: "Not worth it"}[f.answer] ?? "Whether it is worth it stays open";
    return `${word}: at ${usd(t.value)} a correct answer the net benefit is ${usd(f.net.mean * t.requests)} a month${between(f.net.low * t.requests, f.net.high * t.requests)} ${over}.`;
  }
  const ends = [Math.abs(low), Math.abs(high)].sort((x, y) => x - y), money = `${usd(Math.abs(a))} a month${between(...ends)}`;
  switch (f.quadrant.name) {
    case "dominates": return `Worth it: at least as good and ${money} cheaper ${volume}, all counted.`;
    case "dominated": return `Not worth it: no better and ${money} dearer ${volume}, all counted.`;
    case "dearer_better": return `It depends: better and ${money} dearer ${volume}: ${usd(f.quadrant.rate)} for each extra correct answer.`;
    case "cheaper_worse": return `It depends: worse and ${money} cheaper ${volume}: it saves ${usd(f.quadrant.rate)} for each correct answer given up.`;
    default: {
      const sign = a >= 0 ? 1 : -1, sides = [sign * low, sign * high].sort((x, y) => x - y);
      return `Whether it is worth it stays open: it ${a >= 0 ? "saves" : "costs"} ${usd(sign * a)} a month${between(...sides)}${a >= 0 ? "" : " more"} ${volume}, all counted.`;
    }
  }
};
const fact = (label, value, note) => make("div", {}, make("dt", {}, label), make("dd", {}, make("b", {}, value), note ? [" ", make("span", {}, note)] : []));
const outcome = (f, t) => {
  const be = f.breakEven, high = be.high === Infinity ? "may never" : about(be.high), day = dayAfter(facts.day, f.payback.months);
  const kinds = {at: `after ${about(be.requests)} tasks`, never: "never", from_first: "from the first task", until: `cheaper for the first ${about(be.requests)} tasks`};
  const flips = [], at = f.flips;
  if (at.requests != null) flips.push(`${about(at.requests)} requests a month`);
  if (at.usd != null && at.usd > 0) flips.push(`${usd(1000 * at.usd)} per 1,000 fine-tuned tasks`);
  if (at.value != null && at.value > 0) flips.push(`${usd(at.value)} a correct answer`);
  if (at.score != null && Math.abs(at.score) <= 1) flips.push(`a difference of ${(100 * at.score).toFixed(1)} points`);
  return make("div", {class: f.answer}, make("p", {class: "said"}, sentence(f, t) + paid(f, t)), make("dl", {class: "facts"},
    fact("saved a month", usd(f.saved.mean * t.requests), `${usd(f.saved.low * t.requests)} to ${usd(f.saved.high * t.requests)} on tasks, before fixed costs and hosting`),
    fact("pays back in", span(f.payback.months), isFinite(f.payback.months) ? `on ${day}; ${span(f.payback.low)} to ${span(f.payback.high)}` : ""),
    fact("break-even", kinds[be.kind], be.kind === "at" || be.kind === "until" ? `${about(be.low)} to ${high} tasks` : ""),
    fact("life counted", span(f.life.months), {horizon: "the horizon", retirement: "until the base model is shut down", retraining: "until it is trained again"}[f.life.ends]),
    t.hosting > 0 ? fact("covers hosting at", `${about(f.hostingFirst)} requests a month`, "") : null,
    fact("flips at", flips.join(", ") || "nowhere", "each with all else as it is")));
};
const spending = (name, shown, f) => {
  const t = f.terms, arm = n => facts.arms[n], base = t.base ?? facts.ledgers[name].mean[1], tuned = t.tuned ?? facts.ledgers[name].mean[2];
  const fixed = arm(name).fixed ?? 0, hosting = arm(name).hosting ?? 0, end = t.months;
  const until = facts.daysLeft == null ? end : Math.min(end, facts.daysLeft / (365.25 / 12));
  const series = [["baseline", name, economics.cumulative(fixed, base, hosting, t.requests, end)],
    ["candidate", facts.candidate, economics.cumulative(fixed + t.fixed, tuned, hosting + t.hosting, t.requests, until, t.retrain)]];
  const top = Math.max(...series.flatMap(s => s[2].map(p => p[1])), 1e-9), height = 220, y = v => height - 6 - Math.max(v, 0) / top * (height - 30);
  const chart = make("svg", {class: "chart", width: "100%", height: height + 24, role: "img", "aria-label": "Cumulative cost by month"});
  const step = Math.max(1, Math.ceil(end / 6));
  for (let m = 0; m <= end; m += step) chart.append(
    make("line", {class: "grid", x1: `${m / end * 100}%`, x2: `${m / end * 100}%`, y1: 0, y2: height}),
    make("text", {class: "tick", x: `${m / end * 100}%`, y: height + 16, "text-anchor": m === 0 ? "start" : m / end > .94 ? "end" : "middle"}, m === 0 ? "month 0" : m / end < .2 ? "" : `${m}`));
  for (const v of niceTicks(top, 3)) chart.append(make("line", {class: "grid", x1: 0, x2: "100%", y1: y(v), y2: y(v)}), make("text", {class: "tick", x: 0, y: y(v) - 3}, usd(v)));
  series.forEach(([kind, label, points], i) => {
    const inner = make("svg", {x: 0, y: 0, width: "100%", height, viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none"});
    inner.append(make("polyline", {class: `series ${kind}${i ? "" : " dashed"}`, points: points.map(([m, v]) => `${m / end * 100},${y(v)}`).join(" ")}));
    const last = y(points.at(-1)[1]), other = y(series[1 - i][2].at(-1)[1]), up = last < other || (last === other && i) || last > height - 24;
    chart.append(inner, make("text", {class: "name", x: `${Math.min(points.at(-1)[0] / end, 1) * 100}%`, y: Math.max(up ? last - 7 : last + 17, 12), "text-anchor": "end"}, label));
  });
  const crosses = isFinite(f.payback.months) && f.payback.months <= f.life.months;
  const ends = until < end ? ` The base model is shut down after ${span(until)}.` : "";
  const said = crosses ? `The lines cross after ${span(f.payback.months)}.` : "The lines do not cross while the fine-tune lives.";
  return make("figure", {}, make("figcaption", {}, make("b", {}, "Cumulative cost"), `Dollars by month, fixed costs first (baseline dashed). ${said}${ends}`), chart);
};
const whatIf = () => {
  const form = $("terms");
  if (!form) return;
  const against = $("against"), inputs = {};
  const toRange = (v, [, , low, high, log]) => log ? (v <= low ? 0 : Math.log(v / low) / Math.log(high / low) * 1000) : (v - low) / (high - low) * 1000;
  const fromRange = (r, [, , low, high, log]) => { const v = log ? (r <= 0 && low < 1 ? 0 : low * (high / low) ** (r / 1000)) : low + r / 1000 * (high - low); return +v.toPrecision(log ? 2 : 3); };
  const statement = document.querySelector("#what-if .stated");
  const read = same => Object.fromEntries(CONTROLS.map(([key]) => [key, inputs[key].box.value === "" && same[key] === null ? null : Number(inputs[key].box.value) || 0]));
  const update = () => {
    const same = stated(against.value), shown = read(same), lacking = CONTROLS.filter(([key]) => shown[key] === null);
    shown.months = Math.max(shown.months, .1);
    if (statement) statement.hidden = !lacking.length;
    const f = lacking.length ? null : compute(against.value, shown);
    $("outcome").replaceChildren(f ? outcome(f, f.terms) : make("p", {}, `Not known: ${lacking.map(([, label]) => label).join("; ")}. Fill in the empty ${lacking.length > 1 ? "boxes" : "box"} and the answer follows.`));
    $("spending").replaceChildren(...(f ? [spending(against.value, shown, f)] : []));
    const moved = CONTROLS.filter(([key]) => shown[key] !== same[key]), words = new URLSearchParams();
    if (against.value !== facts.baseline) words.set("against", against.value);
    moved.forEach(([key]) => words.set(key, shown[key]));
    const hash = words.toString(), now = location.hash.slice(1);
    if (hash ? hash !== now : now.includes("=")) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    $("moved").textContent = moved.length ? `Moved: ${moved.map(([, label]) => label).join("; ")}.` : "As the benchmark states it. Move a term and the answer follows; the address keeps it.";
    reset.disabled = !moved.length;
  };
  const fill = values => CONTROLS.forEach(control => { const {box, range} = inputs[control[0]]; box.value = values[control[0]] ?? ""; range.value = toRange(values[control[0]] ?? 0, control); });
  for (const control of CONTROLS) {
    const [key, label] = control, id = `term-${key}`;
    const box = make("input", {type: "number", id, min: key === "fixed" || key === "hosting" ? null : 0, step: "any", inputmode: "decimal", placeholder: "unknown"});
    const range = make("input", {type: "range", min: 0, max: 1000, step: 1, "aria-label": `${label}, slider`});
    box.addEventListener("input", () => { range.value = toRange(Number(box.value) || 0, control); update(); });
    range.addEventListener("input", () => { box.value = fromRange(Number(range.value), control); update(); });
    inputs[key] = {box, range};
    form.append(make("p", {class: "row"}, make("label", {for: id}, label), box, range));
  }
  const reset = make("button", {type: "button", onclick: () => { fill(stated(against.value)); update(); }}, "As stated");
  form.append(make("p", {}, reset));
  against.addEventListener("change", () => { fill(stated(against.value)); update(); });
  const restore = () => {
    const words = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    if (facts.ledgers[words.get("against")]) against.value = words.get("against"); else if (facts.ledgers[facts.baseline]) against.value = facts.baseline;
    const values = stated(against.value);
    for (const [key] of CONTROLS) { const v = Number(words.get(key)); if (words.has(key) && isFinite(v)) values[key] = v; }
    fill(values);
    update();
  };
  form.addEventListener("submit", event => event.preventDefault());
  addEventListener("hashchange", () => { if (location.hash.includes("=")) restore(); });
  form.hidden = $("outcome").hidden = false;
  restore();
};
whatIf();

// Examples
const inflate = async base64 => {
  const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text());
};
const PAGE = 20;
const browse = data => {
  const n = data.ids.length, R = data.repeats, main = data.scores[data.primary], up = data.metrics[data.primary];
  const state = {kind: "", left: data.baseline ?? data.arms[0], right: data.candidate ?? data.arms.at(-1), text: "", at: 0};
  const texts = data.ids.map((id, i) => [id, data.titles[i], data.targets[i], ...Object.values(data.inputs[i])].join("\n").toLowerCase());
  const change = i => {
    const [a, b] = [main[state.left][i], main[state.right][i]];
    return a == null || b == null ? null : (up ? b - a : a - b);
  };
  const failed = i => [state.left, state.right].some(arm => { for (let r = 0; r < R; r++) if (data.answers[arm].failed[i * R + r]) return true; return false; });
  const KINDS = [["", "all"], ["broken", "worse"], ["fixed", "better"], ["same", "same"], ["failed", "failed"]];
  const kindOf = d => d == null ? "missing" : d > 0 ? "fixed" : d < 0 ? "broken" : "same";
  let listed = [];
  const list = make("div", {id: "list"}), status = make("span", {role: "status"});
  const back = make("button", {type: "button", onclick: () => turn(-PAGE)}, "Previous"), next = make("button", {type: "button", onclick: () => turn(PAGE)}, "Next");
  const turn = by => { state.at += by; show(); $("examples").scrollIntoView(); };
  const filter = () => {
    const word = state.text.toLowerCase(), ds = data.ids.map((_, i) => change(i)), tally = {"": 0, broken: 0, fixed: 0, same: 0, failed: 0};
    const alone = state.left === state.right;
    if (alone && state.kind !== "failed") state.kind = "";
    listed = [];
    for (let i = 0; i < n; i++) {
      if (word && !texts[i].includes(word)) continue;
      const kind = kindOf(ds[i]), bad = failed(i);
      tally[""]++; if (kind in tally) tally[kind]++; if (bad) tally.failed++;
      if (state.kind && state.kind !== kind && !(state.kind === "failed" && bad)) continue;
      listed.push(i);
    }
    const weight = i => alone ? (up ? -1 : 1) * (main[state.left][i] ?? 2) : ds[i] == null ? -1 : Math.abs(ds[i]);
    listed.sort((a, b) => weight(b) - weight(a) || (ds[a] ?? 0) - (ds[b] ?? 0) || a - b);
    for (const [kind, button] of buttons) { button.textContent = `${KINDS.find(k => k[0] === kind)[1]} ${tally[kind].toLocaleString("en-US")}`; button.setAttribute("aria-pressed", kind === state.kind); button.hidden = alone && !["", "failed"].includes(kind); }
    state.at = 0;
    show();
  };
  const answer = (arm, i) => {
    const given = data.answers[arm], cells = [];
    for (let r = 0; r < R; r++) {
      const at = i * R + r, context = given.contexts[given.context[at]], value = main[arm][i];
      const notes = [given.failed[at].replace("_", " "), value == null ? "" : `${Math.round(100 * value)} of 100`, R > 1 ? `repeat ${r + 1}` : ""].filter(Boolean).join(" · ");
      const text = given.text[at];
      cells.push(make("div", {class: "cell"}, make("h3", {}, arm, make("span", {class: "quiet"}, notes && ` · ${notes}`)),
        make("pre", {dir: "auto"}, text ? marked(difference(text, data.targets[i], data.ordered)) : make("i", {}, "nothing")),
        context.shots.length ? make("p", {class: "quiet"}, "shots: " + context.shots.map(s => oneLine(s, 60)).join(", ")) : null,
        context.passages.length ? make("p", {class: "quiet"}, "passages: " + context.passages.map(s => oneLine(s, 60)).join(", ")) : null));
    }
    return cells;
  };
  const body = i => {
    const entries = Object.entries(data.inputs[i]), asked = entries.length === 1 ? entries[0][1] : entries.map(([k, v]) => v.includes("\n") ? `${k}:\n${v}` : `${k}: ${v}`).join("\n");
    return make("div", {class: "body"}, make("div", {class: "cell"}, make("h3", {}, "Input"), make("pre", {dir: "auto"}, cut(asked))),
      make("div", {class: "cell"}, make("h3", {}, "Target"), make("pre", {dir: "auto"}, cut(data.targets[i]))),
      answer(state.left, i), state.right === state.left ? [] : answer(state.right, i));
  };
  const row = (i, open) => {
    const d = change(i), kind = kindOf(d), word = {fixed: "better", broken: "worse", same: "same", missing: "missing"}[kind];
    const points = d ? ` ${d > 0 ? "+" : "−"}${Math.round(100 * Math.abs(d))}` : "", score = main[state.left][i];
    const tag = state.left === state.right && score != null ? `${Math.round(100 * score)} of 100` : word + points;
    const details = make("details", {class: `example ${kind}`, open}, make("summary", {}, make("span", {class: `tag ${kind}`}, tag), " ",
      make("span", {class: "title", dir: "auto"}, data.titles[i]), " ", make("span", {class: "quiet id"}, oneLine(data.ids[i]))));
    if (open) details.append(body(i));
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(body(i)); });
    return details;
  };
  const show = () => {
    const end = Math.min(state.at + PAGE, listed.length);
    list.replaceChildren(...listed.slice(state.at, end).map((i, at) => row(i, at === 0 && state.at === 0 && !state.text)));
    status.textContent = listed.length ? `${(state.at + 1).toLocaleString("en-US")} to ${end.toLocaleString("en-US")} of ${listed.length.toLocaleString("en-US")}` : "No example is like that.";
    back.disabled = state.at === 0;
    next.disabled = end >= listed.length;
  };
  const buttons = new Map(KINDS.map(([kind]) => [kind, make("button", {type: "button", onclick: () => { state.kind = kind; filter(); }})]));
  const choose = (key, label) => {
    const select = make("select", {id: `arm-${key}`, onchange: event => { state[key] = event.target.value; filter(); }}, data.arms.map(arm => make("option", {selected: arm === state[key]}, arm)));
    return make("div", {}, make("label", {for: `arm-${key}`}, label), select);
  };
  const search = make("input", {type: "search", id: "find", oninput: event => { state.text = event.target.value; filter(); }});
  $("browser").append(make("div", {class: "filters"}, choose("left", "held against"), choose("right", "arm"),
    make("div", {}, make("label", {for: "find"}, "text in input, target or id"), search), make("div", {class: "kinds", role: "group", "aria-label": "Which examples"}, [...buttons.values()])),
  list, make("div", {class: "pager"}, back, status, next));
  $("browser").hidden = false;
  $("flips").classList.add("paper");
  filter();
};

// Files
const CELL = /^ *[=+\-@\t\r\n|%＝＋－＠]/;
const csv = data => {
  const quote = text => { const t = String(text).replace(/\p{Cs}/gu, "\ufffd").replace(/\0/g, "\ufffd"); return `"${(CELL.test(t) ? "'" + t : t).replace(/"/g, '""')}"`; };
  const metrics = Object.keys(data.metrics), lines = [["example", "arm", "repeat", "target", "answer", "failed", "input_tokens", "output_tokens", "seconds", ...metrics].map(quote).join(",")];
  for (let i = 0; i < data.ids.length; i++) for (const arm of data.arms) for (let r = 0; r < data.repeats; r++) {
    const given = data.answers[arm], at = i * data.repeats + r;
    lines.push([quote(data.ids[i]), quote(arm), r, quote(data.targets[i]), quote(given.text[at]), quote(given.failed[at]), given.input_tokens[at], given.output_tokens[at], given.seconds[at], ...metrics.map(m => data.scores[m][arm][i] ?? "")].join(","));
  }
  return lines.join("\r\n") + "\r\n";
};
const save = (text, type, name) => {
  const link = make("a", {href: URL.createObjectURL(new Blob([text], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
inflate($("data").textContent).then(data => {
  browse(data);
  const name = data.benchmark.replace(/[^\w-]+/g, "_").slice(0, 60) || "run";
  $("save-json").addEventListener("click", () => save(JSON.stringify(data), "application/json", `${name}.json`));
  $("save-csv").addEventListener("click", () => save("\ufeff" + csv(data), "text/csv", `${name}-answers.csv`));
  $("save-json").hidden = $("save-csv").hidden = false;
  window.harnessReport = {data, economics, facts, compute, stated, csv};
}, () => { /* an old browser: the static examples stay */ });
