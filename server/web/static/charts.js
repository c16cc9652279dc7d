"use strict";
// Draws figures made by the macro `chart` with uPlot; see macros.html for the numbers that it takes.
(() => {
  const MOST_SERIES_COLOURS = 6;
  const HEIGHT_PX = 260;
  const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(name).trim();
  const seriesColour = (index) => colour(`--series-${(index % MOST_SERIES_COLOURS) + 1}`);
  const named = (axis) => (axis && axis.label ? axis.label + (axis.unit ? ` (${axis.unit})` : "") : "");
  const shown = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(4)).toString());

  function axis(spec, extra) {
    return {
      label: named(spec), stroke: colour("--text"), labelSize: 24, font: "12px system-ui", labelFont: "600 12px system-ui",
      grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, ...extra,
    };
  }

  // Hours to 24, and the seconds only where the picture is that narrow.
  function times(plot, splits) {
    const isNarrow = splits.length > 1 && splits[1] - splits[0] < 60;
    return splits.map((seconds) => new Date(seconds * 1e3).toISOString().slice(11, isNarrow ? 19 : 16));
  }

  const moment = (_, seconds) => (seconds === null || seconds === undefined ? "–" : `${new Date(seconds * 1e3).toISOString().slice(0, 19).replace("T", " ")} UTC`);

  function lineOptions(spec, width) {
    const isTime = Boolean(spec.x.time);
    const series = spec.series.map((each, index) => ({
      label: each.label + (each.unit ? ` (${each.unit})` : ""), stroke: seriesColour(index), width: 2,
      dash: index >= MOST_SERIES_COLOURS ? [6, 4] : undefined, points: { show: spec.x.values.length < 40, size: 6 },
      value: (_, value) => shown(value), spanGaps: false,
    }));
    return {
      width, height: HEIGHT_PX, cursor: { drag: { x: true, y: false } },
      scales: { x: { time: isTime }, y: { range: spec.y.range ? () => spec.y.range : undefined } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      axes: [axis({ ...spec.x, unit: isTime ? "UTC" : spec.x.unit }, isTime ? { values: times, space: 90 } : spec.x.whole ? { incrs: WHOLE } : {}), axis(spec.y, { size: 60 })],
      series: [{ label: named(spec.x), value: isTime ? moment : (_, value) => shown(value) }, ...series],
    };
  }

  function drawPoints(plot, index) {
    const { ctx } = plot;
    const [xs, ys] = plot.data[index];
    const radius = 3.5 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = seriesColour(index - 1);
    ctx.beginPath();
    for (let i = 0; i < xs.length; i += 1) {
      const x = plot.valToPos(xs[i], "x", true);
      const y = plot.valToPos(ys[i], "y", true);
      ctx.moveTo(x + radius, y);
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
    }
    ctx.fill();
    ctx.restore();
    return null;
  }

  function spanOf(spec, key) {
    const all = spec.series.flatMap((each) => (key === "x" ? each.x || spec.x.values : each.values));
    const low = Math.min(...all);
    const high = Math.max(...all);
    const margin = (high - low || 1) * 0.05;
    return [low - margin, high + margin];
  }

  function pointOptions(spec, width) {
    const series = spec.series.map((each, index) => ({
      label: each.label, stroke: seriesColour(index), fill: seriesColour(index), paths: drawPoints, facets: [
        { scale: "x", auto: true }, { scale: "y", auto: true },
      ],
    }));
    return {
      mode: 2, width, height: HEIGHT_PX * 1.3, cursor: { show: false }, legend: { live: false },
      scales: { x: { time: false, range: () => spanOf(spec, "x") }, y: { range: () => spanOf(spec, "y") } },
      axes: [axis(spec.x, {}), axis(spec.y, { size: 60 })], series: [{}, ...series],
    };
  }

  function draw(figure, spec) {
    const place = figure.querySelector(".plot");
    figure.drawn = spec;
    place.replaceChildren();
    if (!spec.series.length || !spec.series.some((each) => each.values.some((value) => value !== null))) {
      place.textContent = "No numbers yet.";
      return;
    }
    const width = Math.max(240, place.clientWidth);
    if (spec.kind === "points") {
      const facets = spec.series.map((each) => [each.x || spec.x.values, each.values]);
      new uPlot(pointOptions(spec, width), [null, ...facets], place);
    } else {
      new uPlot(lineOptions(spec, width), [spec.x.values, ...spec.series.map((each) => each.values)], place);
    }
  }

  async function load(figure) {
    const answer = await fetch(figure.dataset.chartUrl, { credentials: "same-origin" });
    if (answer.ok && !answer.redirected) draw(figure, await answer.json());
  }

  function start(figure) {
    if (figure.isStarted) return;
    figure.isStarted = true;
    if (figure.dataset.chart) draw(figure, JSON.parse(figure.dataset.chart));
    if (!figure.dataset.chartUrl) return;
    const again = () => document.contains(figure) && load(figure).catch(() => undefined);
    again();
    const everyS = Number(figure.dataset.chartEvery);
    if (everyS) {
      const timer = setInterval(() => (document.contains(figure) ? document.hidden || again() : clearInterval(timer)), everyS * 1000);
    }
  }

  const all = () => document.querySelectorAll("figure.chart");
  const redraw = () => all().forEach((figure) => figure.drawn && draw(figure, figure.drawn));
  const startAll = () => all().forEach(start);
  let resizing;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("htmx:afterSettle", startAll);
  startAll();
})();
