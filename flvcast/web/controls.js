"use strict";
// Going back into what is kept, how much the player keeps in hand, and its statistics.
const Controls = (() => {
  const byId = (id) => document.getElementById(id);
  const [seek, live, latency, statistics, overlay] = ["seek", "live", "latency", "statistics", "overlay"].map(byId);
  let isSeeking = false;

  const ago = (seconds) => `−${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;
  const tell = (back) => { byId("seek-text").textContent = back > 0 ? ago(back) : "live"; };

  function go(back) {
    isSeeking = false;
    seek.value = -back;
    live.setAttribute("aria-pressed", String(back === 0));
    tell(back);
    Player.goBack(back);
  }

  seek.addEventListener("input", () => { isSeeking = true; tell(-seek.value); });
  seek.addEventListener("change", () => go(-Number(seek.value)));
  live.addEventListener("click", () => { if (!Saved.leave()) go(0); });
  latency.addEventListener("change", () => Player.keepInHand(Number(latency.value)));
  statistics.addEventListener("click", () => {
    overlay.hidden = !overlay.hidden;
    statistics.setAttribute("aria-pressed", String(!overlay.hidden));
  });

  return {
    // What is saved plays, or what comes again.
    saved(plays) {
      live.setAttribute("aria-pressed", String(!plays));
      seek.hidden = byId("seek-text").hidden = plays;
      if (!plays) go(0);
    },
    update(figures, behind) {
      // Steps count from the least, and zero must be one.
      const kept = Math.floor(figures.kept_ms / 1000);
      seek.disabled = kept < 10;
      if (!isSeeking) seek.min = Math.min(-5 * Math.floor(kept / 5), seek.value);
      const player = Player.statistics();
      if (overlay.hidden || player === null) return;
      overlay.textContent = [
        `pictures   ${player.shown}, ${player.dropped} dropped`,
        `loading    ${Math.round(player.kilobytes * 8)} kbit/s`,
        `in hand    ${behind === null ? "–" : `${behind.toFixed(1)} s`}`,
        `speed      ${player.rate.toFixed(2)}`,
        `behind     ${Player.back() ? ago(Player.back()) : "live"}`,
      ].join("\n");
    },
  };
})();
