"use strict";
// BitTube's charts, of one channel, drawn by uPlot.
const Charts = (() => {
  const PERIODS = { minute: 2000, ten: 4000, hour: 10000, day: 60000 };
  const SECONDS = { minute: 60, ten: 600, hour: 3600, day: 86400 };
  const HEIGHT = 120;
  const rate = (bits) => (bits >= 1e6 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`);
  const short = (bits) => (bits >= 1e6 ? `${+(bits / 1e6).toFixed(1)}M` : `${Math.round(bits / 1e3)}k`);
  const percent = (part) => `${Math.round(part * 100)} %`;
  const milliseconds = (ms) => `${Math.round(ms)} ms`;
  const count = (number) => `${Math.round(number)}`;
  // Of what is counted there are no halves.
  const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000];
  const UNKNOWN = "Known once viewers report.";
  const CHARTS = [
    { name: "bitrate", title: "Bitrate", text: rate, tick: short, colour: "--delay" },
    { name: "users", title: "Online users", text: count, tick: count, colour: "--peers" },
    { name: "upload", title: "Server load", text: rate, tick: short, colour: "--source" },
    { name: "peer_share", title: "From peers", text: percent, tick: percent, colour: "--peers", most: 1 },
    { name: "delay_ms", title: "Delay", text: milliseconds, tick: count, colour: "--delay", none: UNKNOWN },
    { name: "startup_ms", title: "Start-up delay", text: milliseconds, tick: count, colour: "--delay", none: UNKNOWN },
    { name: "interruptions", title: "Interruptions", text: count, tick: count, colour: "--bad" },
    { name: "symmetric_nat", title: "Symmetric NATs", text: percent, tick: percent, colour: "--bad", none: UNKNOWN },
  ];
  const TWO = (number) => String(number).padStart(2, "0");
  function clock(seconds) {
    const time = new Date(seconds * 1000);
    const minutes = `${TWO(time.getHours())}:${TWO(time.getMinutes())}`;
    return SECONDS[span] > 600 ? minutes : `${minutes}:${TWO(time.getSeconds())}`;
  }
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const host = document.getElementById("charts");
  let channel = null, span = "minute", timer = null, latest = null;

  const boxes = CHARTS.map((chart) => {
    const [figure, box, now] = [document.createElement("div"), document.createElement("div"), document.createElement("output")];
    const title = document.createElement("h3");
    title.append(chart.title, now);
    [figure.className, box.className, figure.id] = ["plot", "box", `chart-${chart.name}`];
    figure.append(title, box);
    host.insertBefore(figure, document.getElementById("locations"));
    return { ...chart, box, now, plot: null };
  });

  function make(chart, data) {
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const line = { stroke: colour(chart.colour), width: 2, fill: `${colour(chart.colour)}33`, points: { show: false }, spanGaps: false };
    chart.box.replaceChildren();
    return new uPlot({
      width: chart.box.clientWidth || 300, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      axes: [{ ...axis, size: 24, space: 80, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 46, space: 28, incrs: chart.tick === count ? WHOLE : undefined, values: (_, ticks) => ticks.map(chart.tick) }],
      scales: { x: { range: () => [latest.now - SECONDS[span], latest.now] }, y: { range: (_, low, high) => [0, chart.most ?? Math.max((high ?? 0) * 1.15, 1)] } },
      series: [{}, line],
    }, data, chart.box);
  }

  function draw() {
    for (const chart of boxes) {
      const values = latest.values[chart.name] ?? [];
      const known = values.filter((value) => value !== null);
      chart.now.textContent = known.length ? chart.text(known[known.length - 1]) : "";
      if (known.length === 0) {
        if (chart.plot) chart.plot.destroy();
        chart.plot = null;
        chart.box.replaceChildren(Object.assign(document.createElement("p"), { textContent: chart.none ?? "Nothing yet." }));
      } else if (chart.plot) chart.plot.setData([latest.time, values]);
      else chart.plot = make(chart, [latest.time, values]);
    }
  }

  function again() {
    boxes.forEach((chart) => { if (chart.plot) chart.plot.destroy(); chart.plot = null; });
    if (latest) draw();
  }

  async function load() {
    clearTimeout(timer);
    if (channel === null) return;
    const [of, over] = [channel, span];
    try {
      const history = await Api.get(`api/history/${encodeURIComponent(of)}`, { span: over });
      if (of === channel && over === span) {
        latest = { ...history, now: Date.now() / 1000 };
        draw();
      }
    } catch { /* What is wrong is told elsewhere; it is tried again. */ }
    clearTimeout(timer);
    timer = setTimeout(load, PERIODS[span]);
  }

  addEventListener("resize", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  return {
    rate,
    percent,
    show(name) {
      if (name === channel) return;
      [channel, latest] = [name, null];
      again();
      load();
    },
    over(wanted) {
      span = wanted;
      again();
      load();
    },
  };
})();
