"use strict";
// What is true of the channel, once a second.
const PERIOD_MS = 1000;
const PATIENCE_MS = 1500;
const byId = (id) => document.getElementById(id);
// The page of a channel has its name; the page of the only one is the front page.
const NAME = decodeURIComponent(location.pathname.split("/").pop());
const PARAMETERS = new URLSearchParams(location.search);
const token = PARAMETERS.has("token") ? `?token=${encodeURIComponent(PARAMETERS.get("token"))}` : "";
const figuresUrl = `${NAME ? `${encodeURIComponent(NAME)}.json` : "figures.json"}${token}`;
document.body.classList.toggle("embedded", PARAMETERS.has("embed"));
byId("all").hidden = NAME === "";
byId("all").href = `./${token}`;
const show = (id, text) => { byId(id).textContent = text; };
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const sum = (viewers, field) => viewers.reduce((total, viewer) => total + viewer[field], 0);
const most = (viewers, field) => Math.max(...viewers.map((viewer) => viewer[field]));

function duration(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

// For each state: the colour of the label, the label, and what hangs before the screen.
const STATES = {
  "live": () => ["live", "live", null],
  "fallback": () => ["quiet", "fallback", null],
  "silent": (ms) => ["quiet", `silent for ${duration(ms)}`, ["Nothing comes", `The broadcast has been silent for ${duration(ms)}. It goes on here by itself.`]],
  "waiting": () => ["", "waiting for a broadcast", ["Nobody casts yet", "The broadcast begins here by itself."]],
  "ended": (ms) => ["", `ended ${duration(ms)} ago`, ["The broadcast has ended", "The next one begins here by itself."]],
  "server-gone": (ms) => ["bad", `server gone for ${duration(ms)}`, ["The rendezvous server does not answer", "It is tried again and again; this page goes on by itself."]],
};

function curtain(words) {
  byId("curtain").hidden = words === null;
  if (words !== null) {
    show("curtain-title", words[0]);
    show("curtain-text", words[1]);
  }
}

function status(kind, text) {
  byId("status").className = kind;
  show("status", text);
}

function warn(text) {
  byId("warning").hidden = text === null;
  show("warning", text ?? "");
}

function describe(stream) {
  const parts = [];
  if (stream.video) {
    const said = stream.video.width && stream.video.height ? [stream.video.width, stream.video.height] : null;
    const size = Player.size() ?? said;
    parts.push(stream.video.name);
    if (size) parts.push(`${size[0]} × ${size[1]}`);
    if (stream.video.frame_rate) parts.push(`${Math.round(stream.video.frame_rate * 100) / 100} pictures a second`);
  }
  if (stream.audio) parts.push(stream.audio.name);
  if (stream.bitrate) parts.push(`${Math.round(stream.bitrate / 1000)} kbit/s`);
  byId("stream").replaceChildren(...parts.flatMap((part, i) => {
    const bold = Object.assign(document.createElement("b"), { textContent: part });
    return i ? [" · ", bold] : [bold];
  }));
}

const NAMES = ["viewer", "neighbours", "from caster", "from peers", "relayed", "delay"];
function row(viewer) {
  const cells = [viewer.name, viewer.neighbours, megabytes(viewer.bytes_from_source), megabytes(viewer.bytes_from_peers),
    megabytes(viewer.bytes_relayed), viewer.delay_ms === null ? "–" : `${viewer.delay_ms} ms`];
  const tr = document.createElement("tr");
  tr.append(...cells.map((text, i) => {
    const td = Object.assign(document.createElement("td"), { textContent: text });
    td.dataset.name = NAMES[i];
    return td;
  }));
  return tr;
}

function worstDelay(viewers) {
  const known = viewers.map((viewer) => viewer.delay_ms).filter((delay) => delay !== null);
  return known.length ? Math.max(...known) : null;
}

// What viewers have had from each other in the last ten seconds; a caster knows what it sent and how many there are.
const PAST = [];
const SHARE_OVER = 10;
function share(figures, peers, source) {
  PAST.push({ peers, source, cast: figures.bytes_cast ?? 0, published: figures.bytes_published ?? 0 });
  while (PAST.length > SHARE_OVER + 1) PAST.shift();
  const since = (field) => Math.max(0, PAST.at(-1)[field] - PAST[0][field]);
  const received = since("peers") + since("source");
  if (received) return `${Math.round(100 * since("peers") / received)} %`;
  const needed = since("published") * Math.max(0, most(figures.viewers, "members") - 1);
  return needed ? `${Math.round(100 * Math.max(0, 1 - since("cast") / needed))} %` : "–";
}

function figuresOf(figures) {
  const viewers = figures.viewers;
  const [peers, source] = [sum(viewers, "bytes_from_peers"), sum(viewers, "bytes_from_source")];
  const delay = worstDelay(viewers);
  const behind = Player.isSaved() ? null : Player.behind();
  const about = viewers.some((viewer) => viewer.members_estimated) ? "≈ " : "";
  byId("table").hidden = byId("rate-chart").hidden = figures.is_caster && viewers.length === 1;
  show("members", about + Math.max(most(viewers, "members"), most(viewers, "neighbours") + 1));
  show("neighbours", most(viewers, "neighbours"));
  show("share", share(figures, peers, source));
  show("delay-name", figures.is_one_clock ? "delay" : "delay, by clocks");
  byId("delay-name").title = figures.is_one_clock ? "" : "From the caster to this viewer, as right as the clocks of both machines.";
  show("delay", delay === null ? "–" : `${delay} ms`);
  show("behind", behind === null ? "–" : `${behind.toFixed(1)} s`);
  show("lost", sum(viewers, "lost"));
  show("players", figures.http_viewers);
  byId("viewers").replaceChildren(...viewers.map(row));
  if (figures.bytes_published) {
    show("caster", `The caster published ${megabytes(figures.bytes_published)} and sent ${megabytes(figures.bytes_cast)}: ${(figures.bytes_cast / figures.bytes_published).toFixed(2)} times the stream for ${Math.max(...viewers.map((viewer) => viewer.members)) - 1} viewers.`);
  }
  Charts.record(viewers, delay);
  Controls.update(figures, behind);
}

function film(figures) {
  const stream = figures.stream;
  const url = new URL(`${encodeURIComponent(figures.channel)}.flv${token}`, location.href).href;
  byId("hint").replaceChildren("Also in ", Object.assign(document.createElement("code"), { textContent: `ffplay ${url}` }), ", VLC or mpv; on phones: ", Object.assign(document.createElement("a"), { href: url.replace(/\.flv(?=\?|$)/, ".m3u8"), textContent: "HLS" }), ".");
  const has = stream.video !== null || stream.audio !== null;
  const unplayable = has ? Player.unplayable(stream) : [];
  if (!has || unplayable.length) Player.hide();
  else { Player.show(url, stream); Player.leap(); }
  return unplayable;
}

function update(figures) {
  if (document.title !== `${figures.channel} – flvcast`) {
    document.title = `${figures.channel} – flvcast`;
    show("channel", figures.title ?? figures.channel);
    Saved.of(figures.channel);
  }
  const unplayable = film(figures);
  const state = figures.state === "live" && figures.fallback ? "fallback" : figures.state;
  const [kind, label, words] = STATES[state](figures.state_ms);
  if (Player.isSaved()) status("", "recording");
  else status(kind, label);
  const cannot = unplayable.length ? [`This browser cannot play ${unplayable.join(" and ")}`, "A player such as VLC, mpv or ffplay can; its address is below."] : null;
  // Sound alone has nothing to show.
  const isSound = figures.stream.audio !== null && figures.stream.video === null;
  curtain(Player.isSaved() ? null : words ?? cannot ?? (isSound ? ["Sound only", "This broadcast has no pictures."] : null));
  describe(figures.stream);
  warn(warning(figures));
  figuresOf(figures);
}

function warning(figures) {
  if (figures.casters > 1) return `${figures.casters} casters use this channel at once; you see whoever was first.`;
  if (figures.fallback) return figures.is_caster ? "The source gives nothing; the fallback plays meanwhile." : "The swarm is silent; the fallback plays meanwhile.";
  return figures.quality === null ? null : `Too little of this channel arrives; its lower quality “${figures.quality}” is shown meanwhile.`;
}

function gone(words) {
  status("bad", words[0]);
  curtain(words);
  Player.hide();
}

const SILENT = ["flvcast does not answer", "Is it still running? This page goes on by itself once it is back."];
const REFUSALS = {
  401: ["a token is wanted", "Ask whoever runs this for the address with its token."],
  404: ["no such channel", "It is not, or no longer, shown here."],
};

async function poll() {
  let figures = null;
  try {
    const answer = await fetch(figuresUrl, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.ok) figures = await answer.json();
    else gone(REFUSALS[answer.status] ?? SILENT);
  } catch {
    gone(SILENT);
  }
  if (figures !== null) update(figures);
  setTimeout(poll, PERIOD_MS);
}
poll();
