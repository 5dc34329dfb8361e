// The status tab's plots: a pointer over one shows what was at that moment, in its legend.

const KINDS_AT_A_MOMENT = new Set(["line", "area", "bars"]);
const NEAR_SECONDS = 20;

function ago(exactly) {
  const seconds = Math.round(exactly);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s ago`;
}

function shown(value, unit) {
  const digits = unit === "s" ? 2 : unit === "GB" ? 2 : value < 10 && value % 1 ? 1 : 0;
  return `${value.toFixed(digits)}${unit ? ` ${unit}` : ""}`;
}

/** The value of a series `seconds` ago; null where it has none near that moment. */
function at(series, seconds) {
  let best = null;
  for (const [when, value] of series.points) {
    const away = Math.abs(when - seconds);
    if (away <= NEAR_SECONDS && (best === null || away < best.away)) best = { away, when, value };
  }
  return best;
}

function restore(figure) {
  figure.querySelector(".bf-cursor")?.remove();
  for (const value of figure.querySelectorAll(".bf-key b[data-now]")) {
    value.textContent = value.dataset.now;
    delete value.dataset.now;
  }
}

function point(area, x) {
  const figure = area.closest("figure");
  const box = area.getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (x - box.left) / box.width));
  const { span, unit, series } = JSON.parse(area.dataset.plot);
  const seconds = span * (1 - share);
  const values = [...figure.querySelectorAll(".bf-key b")];
  series.forEach((one, number) => {
    const value = values[number];
    if (!value) return;
    value.dataset.now ??= value.textContent;
    const found = at(one, seconds);
    const none = KINDS_AT_A_MOMENT.has(one.kind) && one.kind !== "bars" ? "–" : "none";
    value.textContent = found ? shown(found.value, unit) : none;
  });
  let cursor = figure.querySelector(".bf-cursor");
  if (!cursor) {
    cursor = document.createElement("div");
    cursor.className = "bf-cursor";
    cursor.append(document.createElement("span"));
    area.append(cursor);
  }
  cursor.style.left = `${share * 100}%`;
  cursor.firstChild.textContent = ago(seconds);
}

document.addEventListener("pointermove", (event) => {
  const area = event.target.closest?.(".bf-plot-area[data-plot]");
  for (const cursor of document.querySelectorAll(".bf-cursor")) {
    if (cursor.parentElement !== area) restore(cursor.closest("figure"));
  }
  if (area) point(area, event.clientX);
});
document.addEventListener("pointerleave", () => {
  for (const cursor of document.querySelectorAll(".bf-cursor")) restore(cursor.closest("figure"));
});
