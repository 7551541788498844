"use strict";
// What is saved of the channel: a list, the newest first, and the player for it.
const Saved = (() => {
  const PERIOD_MS = 15000;
  const [box, films] = ["saved", "films"].map((id) => document.getElementById(id));
  const query = new URLSearchParams(location.search).get("token");
  let channel = null, playing = null;

  const address = (name) => {
    const parameters = query === null ? "" : `?token=${encodeURIComponent(query)}`;
    return `${encodeURIComponent(channel)}/saved${name ? `/${encodeURIComponent(name)}.flv` : ""}${parameters}`;
  };
  const length = (ms) => `${Math.floor(ms / 3600000)}:${String(Math.floor(ms / 60000) % 60).padStart(2, "0")}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  function row(film) {
    const button = make("button", { type: "button", textContent: playing === film.name ? "Back to live" : "Play" });
    button.setAttribute("aria-pressed", String(playing === film.name));
    button.addEventListener("click", () => {
      playing = playing === film.name ? null : film.name;
      Player.playSaved(playing === null ? null : new URL(address(playing), location.href).href);
      Controls.saved(playing !== null);
      load();
    });
    return make("li", {},
      make("a", { href: address(film.name), textContent: new Date(film.begun_ms).toLocaleString(), download: `${channel}-${film.name}.flv` }),
      make("span", { className: "facts", textContent: `${length(film.duration_ms)} · ${(film.bytes / 1e6).toFixed(1)} MB` }), button);
  }

  async function load() {
    try {
      const answer = await fetch(address(null));
      const list = answer.ok ? await answer.json() : [];
      box.hidden = list.length === 0;
      films.replaceChildren(...list.reverse().map(row));
    } catch { /* It is tried again. */ }
  }

  return {
    of(name) {
      if (channel !== null) return;
      channel = name;
      load();
      setInterval(load, PERIOD_MS);
    },
    // Whether a saved broadcast played until now.
    leave() {
      if (playing === null) return false;
      playing = null;
      Player.playSaved(null);
      Controls.saved(false);
      load();
      return true;
    },
  };
})();
