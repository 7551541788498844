"use strict";
// The last two minutes, drawn by uPlot.
const Charts = (() => {
  const SECONDS = 120;
  const HEIGHT = 150;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const sum = (viewers, field) => viewers.reduce((total, viewer) => total + viewer[field], 0);
  const history = [];
  let plots = [];

  function chart(id, colours) {
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const box = document.getElementById(id);
    box.replaceChildren();
    const line = (name) => ({ stroke: colour(name), width: 2, fill: `${colour(name)}33`, points: { show: false } });
    return new uPlot({
      width: box.clientWidth || 300, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      axes: [{ ...axis, size: 28, values: (_, ticks) => ticks.map((tick) => `${Math.round(tick)} s`) }, { ...axis, size: 52 }],
      scales: { x: { time: false, range: (_, first) => [Math.min(first ?? 0, -30), 0] }, y: { range: (_, low, high) => [0, Math.max(high * 1.15, 10)] } },
      series: [{}, ...colours.map(line)],
    }, [[], ...colours.map(() => [])], box);
  }

  function draw() {
    plots = [chart("rate", ["--peers", "--source"]), chart("delays", ["--delay"])];
    if (history.length) update();
  }

  function update() {
    const now = history[history.length - 1].now;
    const x = [], peers = [], source = [], delay = [];
    for (let i = 1; i < history.length; i++) {
      const [before, at] = [history[i - 1], history[i]];
      const kilobits = (field) => Math.max(0, at[field] - before[field]) * 8 / (at.now - before.now);
      x.push((at.now - now) / 1000);
      peers.push(kilobits("peers"));
      source.push(kilobits("source"));
      delay.push(at.delay);
    }
    plots[0].setData([x, peers, source]);
    plots[1].setData([x, delay]);
    document.getElementById("delay-chart").hidden = !delay.some((value) => value !== null);
  }

  addEventListener("resize", () => plots.forEach((plot) => plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();

  return {
    record(viewers, delay) {
      const now = performance.now();
      history.push({ now, peers: sum(viewers, "bytes_from_peers"), source: sum(viewers, "bytes_from_source"), delay });
      while (history.length > 2 && history[0].now < now - SECONDS * 1000) history.shift();
      update();
    },
  };
})();
