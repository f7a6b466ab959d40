/* Draws each <figure class="chart"> from the data beside it (perennial/views/charts.py says what is in it). */
"use strict";
(() => {
  const PANEL = 130, CLOUD = 280, GAP = 44, LANE = 24, LEFT = 64, RIGHT = 24, HEAD = 30, ZOOM = 46, LEGEND = 22, NARROW = 620;
  const FAR = 0.7; // of the way to the right: names of points stand to the left from there on
  const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const short = (value) => value === null || value === undefined || Number.isNaN(value) ? "" : Math.abs(value) >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 0 }) : String(Number(value.toPrecision(4)));
  const clear = (value) => value === undefined ? null : value;

  const band = (trace, at) => {
    const low = trace.low.map((value, i) => [trace.x[i], clear(value)]);
    const wide = trace.high.map((value, i) => [trace.x[i], value === null || trace.low[i] === null ? null : value - trace.low[i]]);
    const same = { type: "line", xAxisIndex: at, yAxisIndex: at, symbol: "none", silent: true, stack: `band ${at} ${trace.name}`, stackStrategy: "all", lineStyle: { opacity: 0 }, itemStyle: { color: tone(trace.tone) }, tooltip: { show: false } };
    return [{ ...same, name: trace.name, data: low }, { ...same, name: trace.name, data: wide, areaStyle: { color: tone(trace.tone), opacity: 0.16 } }];
  };

  /* Points whose texts are single words, such as features, are named beside them: the outermost first, as far as there is room. */
  const named = (trace, panel) => {
    const points = panel.traces.filter((each) => each.kind === "points").flatMap((each) => each.x.map((x, i) => ({ x, y: each.y[i], text: each.texts[i] || "" })));
    if (trace.kind !== "points" || points.some((point) => !/^\S{1,40}$/.test(point.text))) return {};
    const wide = Math.max(...points.map((point) => point.x)) || 1, high = Math.max(...points.map((point) => point.y)) || 1, shown = [];
    const long = Math.max(0.12, 150 / innerWidth) * wide, from = (point) => point.x > FAR * wide ? point.x - long : point.x;
    for (const point of points.sort((a, b) => b.x / wide + b.y / high - a.x / wide - a.y / high)) {
      if (!shown.some((other) => Math.abs(from(other) - from(point)) < long && Math.abs(other.y - point.y) < 0.12 * high)) shown.push(point);
    }
    const kept = new Set(shown.map((point) => point.text));
    return { label: { show: true, distance: 6, fontSize: 11, color: tone("soft"), formatter: (item) => kept.has(item.data.text) ? item.data.text : "" } };
  };

  const series = (trace, at, panel, isLast) => {
    const kind = { line: "line", bar: "bar", points: "scatter" }[trace.kind];
    const far = trace.kind === "points" ? FAR * Math.max(...panel.traces.flatMap((each) => each.x)) : 0;
    const data = trace.x.map((x, i) => ({ value: [x, clear(trace.y[i])], text: trace.texts[i] || "", label: trace.kind === "points" ? { position: x > far ? "left" : "right" } : undefined }));
    const color = tone(trace.tone);
    const limit = panel.limit === null || !isLast ? undefined : { silent: true, symbol: "none", animation: false, lineStyle: { color: tone("bad"), type: "dashed" }, label: { formatter: `${panel.limit_name} ${short(panel.limit)}`, color: tone("bad"), position: panel.traces.some((each) => each.y.some((value) => value > panel.limit)) ? "insideEndTop" : "insideEndBottom" }, data: [{ yAxis: panel.limit }] };
    const drawn = { name: trace.name, type: kind, xAxisIndex: at, yAxisIndex: at, data, itemStyle: { color }, lineStyle: { color, width: 1.8 }, symbol: kind === "line" && data.length > 40 ? "none" : "circle", symbolSize: kind === "scatter" ? 9 : 4, connectNulls: false, barMaxWidth: 26, markLine: limit, ...named(trace, panel) };
    return trace.low.length ? [...band(trace, at), drawn] : [drawn];
  };

  /* The lane whose marks cross the panels comes first, the others by their names: the same in every chart. */
  const lanesOf = (chart) => [...new Set([...chart.marks.filter((mark) => mark.lane === chart.across).map((mark) => mark.lane), ...chart.marks.map((mark) => mark.lane).sort()])];

  const events = (chart, at, lanes) => {
    const spans = chart.marks.filter((mark) => mark.until).map((mark) => ({ name: mark.lane, type: "line", xAxisIndex: at, yAxisIndex: at, symbol: "none", silent: true, lineStyle: { width: 8, color: tone(mark.tone), opacity: 0.4, cap: "round" }, data: [[mark.day, mark.lane], [mark.until, mark.lane]], tooltip: { show: false } }));
    const dots = { name: "events", type: "scatter", xAxisIndex: at, yAxisIndex: at, symbolSize: 11, cursor: "pointer", data: chart.marks.map((mark) => ({ value: [mark.day, mark.lane], text: mark.text, href: mark.href, itemStyle: { color: tone(mark.tone) }, symbol: lanes.indexOf(mark.lane) % 2 ? "diamond" : "circle" })), tooltip: { formatter: (item) => `${item.data.value[0]} · ${item.data.value[1]}\n${wrapped(item.data.text)}` } };
    return [...spans, dots];
  };

  const wrapped = (text) => text.replace(/(.{1,72})(\s|$)/g, "$1\n").trim();

  const told = (chart) => (items) => {
    const list = (Array.isArray(items) ? items : [items]).filter((item) => item.data && item.data.text !== undefined && item.data.value[1] !== null);
    if (!list.length) return "";
    const first = list[0].data.value[0];
    return [chart.axis === "number" ? short(first) : first, ...list.map((item) => `${item.seriesName}: ${typeof item.data.value[1] === "number" ? short(item.data.value[1]) : item.data.value[1]}${item.data.text ? `\n${wrapped(item.data.text)}` : ""}`)].join("\n");
  };

  /* An axis shows the limit, however far the values are from it. */
  const within = (panel) => panel.limit === null ? {} : { min: (seen) => seen.min <= panel.limit ? null : panel.limit, max: (seen) => seen.max >= panel.limit ? null : panel.limit };

  const option = (chart, width) => {
    const under = width < NARROW ? LEGEND : 0; // where there is no room beside the title, the legend goes below it
    const lanes = lanesOf(chart), isDay = chart.axis === "day", ink = tone("soft"), line = tone("line");
    const type = { day: "time", number: "value", name: "category" }[chart.axis];
    const names = chart.axis === "name" ? [...new Set(chart.panels.flatMap((panel) => panel.traces.flatMap((trace) => trace.x)))] : undefined;
    const grids = [], xs = [], ys = [], drawn = [], titles = [], legends = [];
    let top = HEAD + under;
    const days = isDay ? [...chart.panels.flatMap((panel) => panel.traces.flatMap((trace) => trace.x)), ...chart.marks.flatMap((mark) => [mark.day, mark.until || mark.day])].sort() : [];
    const across = chart.marks.filter((mark) => mark.lane === chart.across);
    const axis = (at, isLast) => ({ type, data: names, gridIndex: at, min: days[0], max: days.at(-1), minInterval: isDay ? 86400000 : undefined, scale: true, axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { show: isLast, color: ink, hideOverlap: true }, name: isLast ? chart.axis_title : "", nameLocation: "middle", nameGap: 26, nameTextStyle: { color: ink } });
    chart.panels.forEach((panel, at) => {
      const isLast = at === chart.panels.length - 1 && !lanes.length;
      const tall = panel.traces.some((trace) => trace.kind === "points") ? CLOUD : PANEL; // names stand beside points
      grids.push({ left: LEFT, right: RIGHT, top, height: tall });
      titles.push({ text: panel.unit ? `${panel.title} (${panel.unit})` : panel.title, left: 0, top: top - 24 - under, textStyle: { fontSize: 12, fontWeight: 600, color: tone("ink") } });
      if (panel.traces.length > 1) legends.push({ data: panel.traces.map((trace) => trace.name), type: "scroll", ...(under ? { left: 0 } : { right: 0, width: "62%" }), top: top - 27, textStyle: { color: ink, fontSize: 11 }, pageTextStyle: { color: ink }, icon: "roundRect", itemHeight: 6, itemWidth: 14, itemGap: 12, selectedMode: false });
      xs.push(axis(at, isLast));
      ys.push({ type: "value", gridIndex: at, scale: panel.traces.every((trace) => trace.kind !== "bar"), ...within(panel), splitNumber: 3, splitLine: { lineStyle: { color: line } }, axisLabel: { color: ink, formatter: short } });
      panel.traces.forEach((trace, place) => drawn.push(...series(trace, at, panel, place === panel.traces.length - 1)));
      if (across.length) drawn.push({ type: "line", xAxisIndex: at, yAxisIndex: at, data: [], markLine: { silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: { color: tone("dim"), type: "dotted" }, data: across.map((mark) => ({ xAxis: mark.day })) } });
      top += tall + GAP + under;
    });
    if (lanes.length) {
      const at = chart.panels.length, height = LANE * lanes.length;
      grids.push({ left: LEFT + 46, right: RIGHT, top: top - 18 - under, height });
      for (const grid of grids) grid.left = LEFT + 46;
      xs.push(axis(at, true));
      ys.push({ type: "category", gridIndex: at, data: lanes, inverse: true, axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: true, lineStyle: { color: line } }, axisLabel: { color: ink, interval: 0 } });
      drawn.push(...events(chart, at, lanes));
      top += height + 10 - under;
    }
    return { height: top + (isDay ? ZOOM : 22), option: {
      animation: false, backgroundColor: "transparent", title: titles, grid: grids, xAxis: xs, yAxis: ys, series: drawn,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: ink },
      legend: legends,
      tooltip: { trigger: chart.panels.some((panel) => panel.traces.some((trace) => trace.kind === "points")) ? "item" : "axis", renderMode: "richText", confine: true, formatter: told(chart), backgroundColor: tone("card"), borderColor: line, textStyle: { color: tone("ink"), fontSize: 12 } },
      axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: tone("dim") } },
      dataZoom: isDay ? [{ type: "slider", xAxisIndex: xs.map((_, at) => at), height: 16, bottom: 6, borderColor: line, textStyle: { color: ink }, labelFormatter: (value) => new Date(value).toISOString().slice(0, 10), brushSelect: false, showDataShadow: false }] : [],
      aria: { enabled: true },
    } };
  };

  const draw = (figure) => {
    const chart = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const place = figure.querySelector(".canvas"), made = option(chart, place.clientWidth);
    place.style.height = `${made.height}px`;
    const live = echarts.getInstanceByDom(place) || echarts.init(place, null, { renderer: "canvas" });
    live.setOption(made.option, true);
    live.resize();
    live.off("click");
    live.on("click", (item) => { if (item.data && item.data.href) location.assign(item.data.href); });
    return live;
  };
  const all = () => document.querySelectorAll("figure.chart").forEach((figure) => { if (figure.offsetParent) draw(figure); });
  document.addEventListener("DOMContentLoaded", () => {
    all();
    const seen = new ResizeObserver((entries) => entries.forEach((entry) => draw(entry.target)));
    document.querySelectorAll("figure.chart").forEach((figure) => seen.observe(figure));
    document.addEventListener("themechange", all);
  });
})();
