"use strict";
// All channels, and what is true of each.
const PERIOD_MS = 2000;
const token = new URLSearchParams(location.search).get("token");
const query = token === null ? "" : `?token=${encodeURIComponent(token)}`;
const STATES = { "live": ["live", "live"], "fallback": ["quiet", "fallback"], "silent": ["quiet", "silent"], "waiting": ["", "waiting"], "ended": ["", "ended"], "server-gone": ["bad", "server gone"] };
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

function tile(channel) {
  const [kind, label] = STATES[channel.state === "live" && channel.fallback ? "fallback" : channel.state];
  const { video, audio, bitrate } = channel.stream;
  const size = video && video.width && video.height ? `${video.width} × ${video.height}` : video?.name ?? (audio ? "sound" : null);
  const facts = [size, bitrate ? `${Math.round(bitrate / 1000)} kbit/s` : null, `${channel.http_viewers} watching here`];
  return make("a", { className: "tile", href: channel.path + query },
    make("strong", { textContent: channel.title ?? channel.name }),
    make("span", { className: `badge ${kind}`, textContent: label }),
    make("small", { textContent: facts.filter(Boolean).join(" · ") }));
}

function say(kind, text) {
  const status = document.getElementById("status");
  [status.className, status.textContent] = [kind, text];
}

async function poll() {
  try {
    const answer = await fetch(`channels.json${query}`, { signal: AbortSignal.timeout(PERIOD_MS) });
    if (answer.status === 401) say("bad", "a token is wanted");
    else {
      const channels = await answer.json();
      document.getElementById("channels").replaceChildren(...channels.map(tile));
      const live = channels.filter((channel) => channel.state === "live").length;
      say(live ? "live" : "", channels.length ? `${live} of ${channels.length} live` : "no channels yet");
    }
  } catch {
    say("bad", "flvcast does not answer");
  }
  setTimeout(poll, PERIOD_MS);
}
poll();
