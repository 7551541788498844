"use strict";
const SECONDS = 120;
const HEIGHT = 150;
const byId = (id) => document.getElementById(id);
const show = (id, text) => { byId(id).textContent = text; };
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const sum = (viewers, field) => viewers.reduce((total, viewer) => total + viewer[field], 0);

let player = null;
function play(channel) {
  const url = new URL(`${encodeURIComponent(channel)}.flv`, location.href).href;
  const hint = byId("hint");
  hint.replaceChildren("Also in ", Object.assign(document.createElement("code"), { textContent: `ffplay ${url}` }), ", VLC or mpv.");
  if (!mpegts.getFeatureList().mseLivePlayback) {
    hint.prepend("This browser cannot play FLV here. ");
    return;
  }
  if (player) player.destroy();
  player = mpegts.createPlayer({ type: "flv", isLive: true, url }, { liveSync: true, liveSyncMaxLatency: 6, liveSyncTargetLatency: 2, lazyLoad: false });
  player.attachMediaElement(byId("film"));
  player.on(mpegts.Events.ERROR, () => setTimeout(() => play(channel), 1500));
  player.on(mpegts.Events.LOADING_COMPLETE, () => setTimeout(() => play(channel), 1500));
  player.load();
  player.play()?.catch(() => { hint.prepend("Press play. "); });
}

function chart(id, series) {
  const axis = { stroke: style("--dim"), grid: { stroke: style("--line"), width: 1 }, ticks: { show: false } };
  const box = byId(id);
  const options = {
    width: box.clientWidth || 400, height: HEIGHT, legend: { show: false }, cursor: { show: false },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => `${Math.round(tick)} s`) }, { ...axis, size: 56 }],
    scales: { x: { time: false, range: (_, first) => [Math.min(first ?? 0, -30), 0] }, y: { range: (_, low, high) => [0, Math.max(high * 1.15, 10)] } },
    series: [{}, ...series],
  };
  const plot = new uPlot(options, [[], ...series.map(() => [])], box);
  addEventListener("resize", () => plot.setSize({ width: box.clientWidth, height: HEIGHT }));
  return plot;
}
const line = (colour, fill) => ({ stroke: style(colour), width: 2, fill: fill && style(colour).trim() + "33", points: { show: false } });
const rates = chart("rate", [line("--peers", true), line("--source", true)]);
const delays = chart("delays", [line("--delay", true)]);

const history = [];
function record(now, viewers) {
  history.push({ now, peers: sum(viewers, "bytes_from_peers"), source: sum(viewers, "bytes_from_source"), delay: worstDelay(viewers) });
  while (history.length > 2 && history[0].now < now - SECONDS * 1000) history.shift();
  const x = [], peers = [], source = [], delay = [];
  for (let i = 1; i < history.length; i++) {
    const [before, at] = [history[i - 1], history[i]];
    const kilobits = (field) => Math.max(0, at[field] - before[field]) * 8 / (at.now - before.now);
    x.push((at.now - now) / 1000);
    peers.push(kilobits("peers"));
    source.push(kilobits("source"));
    delay.push(at.delay);
  }
  rates.setData([x, peers, source]);
  delays.setData([x, delay]);
}
function worstDelay(viewers) {
  const known = viewers.map((viewer) => viewer.delay_ms).filter((delay) => delay !== null);
  return known.length ? Math.max(...known) : null;
}

function row(viewer) {
  const cells = [viewer.name, viewer.neighbours, megabytes(viewer.bytes_from_source), megabytes(viewer.bytes_from_peers),
    megabytes(viewer.bytes_relayed), viewer.delay_ms === null ? "–" : `${viewer.delay_ms} ms`];
  const tr = document.createElement("tr");
  tr.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return tr;
}

function update(figures) {
  const viewers = figures.viewers;
  const [peers, source] = [sum(viewers, "bytes_from_peers"), sum(viewers, "bytes_from_source")];
  const delay = worstDelay(viewers);
  show("members", Math.max(...viewers.map((viewer) => viewer.members)));
  show("neighbours", Math.max(...viewers.map((viewer) => viewer.neighbours)));
  show("share", peers + source ? `${Math.round(100 * peers / (peers + source))} %` : "–");
  show("delay", delay === null ? "–" : `${delay} ms`);
  show("lost", sum(viewers, "lost"));
  show("players", figures.http_viewers);
  byId("viewers").replaceChildren(...viewers.map(row));
  if (figures.bytes_published) {
    show("caster", `The caster published ${megabytes(figures.bytes_published)} and sent ${megabytes(figures.bytes_cast)}: ${(figures.bytes_cast / figures.bytes_published).toFixed(2)} times the stream for ${viewers.length} viewers.`);
  }
  record(performance.now(), viewers);
  status(peers + source > 0 ? "live" : "waiting", peers + source > 0 ? "live" : "waiting for the broadcast");
}
function status(kind, text) {
  byId("status").className = kind;
  show("status", text);
}

let channel = null;
async function poll() {
  try {
    const figures = await (await fetch("figures.json")).json();
    if (channel === null) {
      channel = figures.channel;
      show("channel", `channel ${channel}`);
      document.title = `${channel} – flvcast`;
      play(channel);
    }
    update(figures);
  } catch {
    status("bad", "flvcast does not answer");
  }
}
poll();
setInterval(poll, 1000);
