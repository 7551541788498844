"use strict";
// The console: status and journal as they come, one channel looked at closely.
const byId = (id) => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const STATES = {
  "live": ["live", "live"], "fallback": ["quiet", "fallback"], "silent": ["quiet", "silent"], "waiting": ["", "waiting"], "ended": ["", "ended"], "server-gone": ["bad", "server gone"],
};
const PHASES = { "stopped": ["", "stopped"], "over": ["", "over"], "failed": ["bad", "failed"] };
const MAX_LINES = 200;
let chosen = null;

function state(channel) {
  if (channel.phase !== "running") return PHASES[channel.phase];
  if (channel.shown?.state === "live" && channel.shown.fallback) return STATES.fallback;
  return STATES[channel.shown?.state ?? "waiting"];
}

function say(kind, text) {
  [byId("status").className, byId("status").textContent] = [kind, text];
}

const SWITCHES = new Map();
function theSwitch(channel) {
  const runs = channel.phase !== "stopped";
  if (!SWITCHES.has(channel.name)) {
    const button = make("button", { type: "button" });
    button.addEventListener("click", async (event) => {
      event.stopPropagation();
      button.disabled = true;
      const refused = await Api.post(`api/channels/${encodeURIComponent(channel.name)}/${button.dataset.verb}`);
      if (refused) say("bad", refused);
      button.disabled = false;
    });
    SWITCHES.set(channel.name, button);
  }
  const button = SWITCHES.get(channel.name);
  button.dataset.verb = runs ? "stop" : "start";
  button.textContent = runs ? "Stop" : "Start";
  return button;
}

const NAMES = ["channel", "state", "bitrate", "users", "upload", "from peers", "watching here", ""];
function row(channel) {
  const [kind, label] = state(channel);
  const { rates, group_stats: group } = channel;
  const users = `${group.members_estimated ? "≈ " : ""}${group.users}`;
  const share = rates.peer_share === null ? "–" : Charts.percent(rates.peer_share);
  const cells = [channel.title ?? channel.name, make("span", { className: `badge ${kind}`, textContent: label }), Charts.rate(rates.bitrate), users, Charts.rate(rates.upload), share, channel.http_viewers, theSwitch(channel)];
  const tr = make("tr", { tabIndex: 0 }, ...cells.map((cell, index) => {
    const td = make("td", {}, cell);
    td.dataset.name = NAMES[index];
    return td;
  }));
  tr.setAttribute("aria-selected", String(channel.name === chosen));
  tr.addEventListener("click", () => choose(channel.name));
  tr.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(channel.name); });
  return tr;
}

const minutes = (ms) => (ms < 60000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60000)} min`);
function about(channel) {
  const { stream } = channel.shown ?? { stream: {} };
  const facts = [
    channel.casts ? `from ${channel.sources.join(", ")}` : "taken from the swarm",
    stream.video ? `${stream.video.name}${stream.video.width ? ` ${stream.video.width} × ${stream.video.height}` : ""}` : null,
    stream.audio?.name,
    channel.kept_ms ? `viewers can go back ${minutes(channel.kept_ms)}` : null,
    channel.record ? `kept: ${channel.record.file ?? "nothing now"}, ${(channel.record.bytes / 1e6).toFixed(1)} MB in whole files` : null,
    ...channel.pushes.map((push) => `pushed to ${push.target}${push.live ? `, ${(push.bytes / 1e6).toFixed(1)} MB` : ", not now"}`),
    channel.group_stats.fragments_lost ? `${channel.group_stats.fragments_lost} fragments lost` : null,
    channel.group_stats.neighbours_banned ? `${channel.group_stats.neighbours_banned} neighbours dropped` : null,
  ];
  return facts.filter(Boolean).join(" · ");
}

function choose(name) {
  chosen = name;
  Preview.end();
  Charts.show(name);
  Swarm.show(name);
  if (latest) show(latest);
}

let latest = null;
function show(status) {
  latest = status;
  const { channels, server, troubles } = status;
  if (chosen === null && channels.length) return choose(channels[0].name);
  byId("server").textContent = `${server.url} · ${server.connected ? "connected" : `gone for ${minutes(server.for_ms)}`}`;
  const live = channels.filter((channel) => channel.shown?.state === "live").length;
  const wrong = troubles.length ? ` · ${troubles.length} to look at` : "";
  say(troubles.length ? "quiet" : live ? "live" : "", `${live} of ${channels.length} live${wrong}`);
  byId("troubles").hidden = troubles.length === 0;
  byId("troubles").replaceChildren(...troubles.map(({ channel, text }) => make("p", { textContent: channel === null ? text : `${channel}: ${text}` })));
  const focused = document.activeElement?.closest?.("#channels tr")?.rowIndex;
  byId("channels").replaceChildren(...channels.map(row));
  if (focused !== undefined && document.activeElement === document.body) byId("channels").rows[focused - 1]?.focus();
  byId("none").hidden = channels.length > 0;
  const channel = channels.find((channel) => channel.name === chosen);
  byId("detail").hidden = channel === undefined;
  if (channel === undefined) {
    chosen = null;
    return;
  }
  byId("name").textContent = channel.title ?? channel.name;
  byId("about").textContent = about(channel);
}

function note(entries) {
  const lines = entries.map((entry) => make("li", { className: entry.kind },
    make("time", { textContent: new Date(entry.time_ms).toLocaleTimeString(), dateTime: new Date(entry.time_ms).toISOString() }),
    make("span", { textContent: entry.channel ?? "" }),
    make("span", { textContent: entry.text })));
  byId("journal").prepend(...lines.reverse());
  while (byId("journal").childElementCount > MAX_LINES) byId("journal").lastElementChild.remove();
}

// What was parsed of the source, when somebody wants to see it.
const Preview = (() => {
  const [film, button] = [byId("preview"), byId("watch")];
  let player = null;
  function end() {
    if (player) player.destroy();
    player = null;
    button.textContent = "Show what was parsed";
  }
  button.addEventListener("click", () => {
    if (player) return end();
    const url = Api.url(`preview/${encodeURIComponent(chosen)}.flv`, {});
    player = mpegts.createPlayer({ type: "flv", isLive: true, url }, { liveSync: true, lazyLoad: false, autoCleanupSourceBuffer: true });
    player.attachMediaElement(film);
    player.on(mpegts.Events.ERROR, end);
    player.load();
    Promise.resolve(player.play()).catch(() => {});
    button.textContent = "Hide it";
  });
  return { end };
})();

byId("spans").addEventListener("click", (event) => {
  const span = event.target.dataset.span;
  if (!span) return;
  for (const button of byId("spans").children) button.setAttribute("aria-pressed", String(button.dataset.span === span));
  Charts.over(span);
});

function listen() {
  const events = new EventSource(Api.url("api/events", {}));
  events.addEventListener("status", (event) => show(JSON.parse(event.data)));
  events.addEventListener("journal", (event) => note(JSON.parse(event.data)));
  events.addEventListener("open", () => byId("journal").replaceChildren());
  events.addEventListener("error", async () => {
    const answer = await fetch(Api.url("api/status", {})).catch(() => null);
    say("bad", answer?.status === 401 ? "a token is wanted: open this page with ?token=…" : "flvcast does not answer");
    // Browsers give up on answers that are no streams.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}
listen();
