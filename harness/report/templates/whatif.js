// What-if: what harness/economics.py computes, from the moments of the examples. Tested equal on random settings.
"use strict";
const economics = (() => {
  const MONTH_DAYS = 365.25 / 12, FEW = 6;
  const dot = (a, b) => a.reduce((s, v, i) => s + v * b[i], 0);
  const quad = (a, V, b) => a.reduce((s, v, i) => s + v * dot(V[i], b), 0);

  // A weighted sum of (score difference, baseline $, fine-tune $) with its interval; k is a constant.
  const combine = (m, w, k) => {
    const middle = dot(w, m.middle) + k, half = m.t * Math.sqrt(Math.max(quad(w, m.variance, w), 0));
    return {mean: dot(w, m.mean) + k, low: middle - half, high: middle + half};
  };

  const life = (t, daysLeft) => {
    let months = t.months, ends = "horizon";
    if (t.retrain != null && t.retrain < months) { months = t.retrain; ends = "retraining"; }
    if (daysLeft != null && daysLeft / MONTH_DAYS < months) { months = daysLeft / MONTH_DAYS; ends = "retirement"; }
    return {months, ends};
  };

  const breakEven = (saved, total) => {
    const at = s => s * total > 0 ? total / s : Infinity;
    if (total > 0) return {kind: saved.mean > 0 ? "at" : "never", requests: at(saved.mean), low: at(saved.high), high: at(saved.low)};
    if (total === 0) return {kind: saved.mean >= 0 ? "from_first" : "never", requests: Infinity, low: Infinity, high: Infinity};
    return {kind: saved.mean < 0 ? "until" : "from_first", requests: at(saved.mean), low: at(saved.low), high: at(saved.high)};
  };

  const paybackMonths = (s, t) => {
    const gain = t.requests * s - t.hosting;
    if (t.fixed <= 0) return gain >= 0 ? 0 : Infinity;
    return gain > 0 ? t.fixed / gain : Infinity;
  };

  const roots = (a, b, c) => {
    if (a === 0) return b ? [-c / b] : [];
    const inner = b * b - 4 * a * c;
    if (inner < 0) return [];
    const q = -(b + (b >= 0 ? 1 : -1) * Math.sqrt(inner)) / 2;
    return q ? [q / a, c / q] : [0];
  };

  // The factor nearest to 1 on the scaled part of the weights at which a bound of the sum is 0, or null.
  const factor = (m, weights, u, k, bound) => {
    if (!isFinite(k)) return null;
    const w = weights.map((v, i) => v - u[i]), centre = bound === "mean" ? m.mean : m.middle;
    const t = bound === "mean" ? 0 : m.t * (bound === "low" ? -1 : 1);
    const a0 = dot(w, centre) + k, a1 = dot(u, centre);
    const v0 = quad(w, m.variance, w), v1 = quad(w, m.variance, u), v2 = quad(u, m.variance, u);
    const found = t ? roots(a1 * a1 - t * t * v2, 2 * (a0 * a1 - t * t * v1), a0 * a0 - t * t * v0) : a1 ? [-a0 / a1] : [];
    const scale = Math.abs(a0) + Math.abs(a1) + Math.abs(t) * Math.sqrt(v0 + v2);
    const good = found.filter(r => Math.abs(a0 + r * a1 + t * Math.sqrt(Math.max(v0 + 2 * r * v1 + r * r * v2, 0))) <= 1e-7 * scale * (1 + Math.abs(r)));
    return good.sort((x, y) => Math.abs(x - 1) - Math.abs(y - 1))[0] ?? null;
  };

  // t: requests, months, retrain, value, fixed, hosting; base, tuned: dollars a task (null: as measured).
  const answer = (ledger, t, daysLeft) => {
    const m = {...ledger}, add = [0, 0, 0], rate = [1, 1, 1];
    [[1, t.base], [2, t.tuned]].forEach(([i, usd]) => {
      if (usd == null) return;
      if (ledger.mean[i] > 0) rate[i] = usd / ledger.mean[i]; else add[i] = usd;
    });
    m.mean = m.mean.map((v, i) => v * rate[i] + add[i]);
    m.middle = m.middle.map((v, i) => v * rate[i] + add[i]);
    m.variance = m.variance.map((row, i) => row.map((v, j) => v * rate[i] * rate[j]));
    const lived = life(t, daysLeft), months = lived.months, total = t.fixed + months * t.hosting, tasks = t.requests * months;
    const overhead = tasks > 0 ? total / tasks : total > 0 ? Infinity : total < 0 ? -Infinity : 0;
    const value = t.value || 0, enough = m.df > FEW, weights = [value, 1, -1];
    const saved = combine(m, [0, 1, -1], 0), after = combine(m, [0, 1, -1], -overhead), net = combine(m, weights, -overhead);
    const open = found => enough ? found : "inconclusive";
    const netAnswer = open(net.low > 0 ? "yes" : net.high < 0 ? "no" : "inconclusive");
    const cost = after.low > 0 ? "cheaper" : after.high < 0 ? "dearer" : "unclear", label = ledger.label;
    let quadrant = {name: "inconclusive", answer: "inconclusive", rate: null};
    if (label !== "unclear" && cost !== "unclear" && enough) {
      if (label === "equivalent" || (label === "better") === (cost === "cheaper"))
        quadrant = cost === "cheaper" ? {name: "dominates", answer: "yes", rate: null} : {name: "dominated", answer: "no", rate: null};
      else quadrant = {name: cost === "dearer" ? "dearer_better" : "cheaper_worse", answer: "depends", rate: Math.abs(after.mean / m.mean[0])};
    }
    const said = value ? netAnswer : quadrant.answer, bound = {yes: "low", no: "high"}[said] ?? "mean";
    const gross = combine(m, weights, 0)[bound], netAt = gross - overhead;
    const volume = gross ? total / months / gross : NaN;
    const price = factor(m, weights, [0, 0, -1], -overhead, bound);
    let worthAt = factor(m, weights, [value || 1, 0, 0], -overhead, bound);
    if (worthAt != null) worthAt = value ? worthAt * value : worthAt - 1;
    const [pay, payLow, payHigh] = [saved.mean, saved.high, saved.low].map(s => paybackMonths(s, t));
    return {
      answer: said, life: lived, total, overhead, saved, after, net, quadrant,
      breakEven: breakEven(saved, total),
      payback: {months: pay, low: payLow, high: payHigh, answer: open(payHigh <= months ? "yes" : payLow > months ? "no" : "inconclusive")},
      hostingFirst: t.hosting <= 0 ? 0 : saved.mean > 0 ? t.hosting / saved.mean : Infinity,
      flips: {
        requests: isFinite(volume) && volume > 0 ? volume : null,
        price: price != null && price >= 0 ? price : null,
        usd: isFinite(netAt) ? m.mean[2] + netAt : null,
        score: value && isFinite(netAt) ? m.mean[0] - netAt / value : null,
        value: worthAt == null || worthAt < 0 ? null : worthAt,
      },
    };
  };

  const cumulative = (fixed, usd, hosting, requests, months, every) => {
    const rate = requests * usd + hosting, points = [[0, fixed]], step = every || Infinity;
    let paid = fixed, at = step;
    while (at < months && points.length < 2000) { points.push([at, paid + at * rate], [at, paid + fixed + at * rate]); paid += fixed; at += step; }
    return [...points, [months, paid + months * rate]];
  };
  return {answer, life, cumulative};
})();
