"use strict";
// The film on the page: played by mpegts.js, begun anew whenever it breaks, and honest about what
// this browser cannot play.
const Player = (() => {
  const RETRY_MS = 1500;
  const OPTIONS = { autoCleanupSourceBuffer: true };
  const film = document.getElementById("film");
  const unmute = document.getElementById("unmute");
  let player = null, retry = null, url = null, tracks = null;
  // How far behind the newest it plays, in seconds, and how much of it it keeps in hand.
  let back = 0, latency = 2, isChosen = false;

  // A saved broadcast that plays instead of what comes.
  let saved = null;

  const source = () => (saved !== null ? saved : back > 0 ? `${url}${url.includes("?") ? "&" : "?"}back=${back}` : url);
  const pace = () => (saved !== null || back > 0 ? { lazyLoad: saved !== null, liveSync: false } : { lazyLoad: false, liveSync: true, liveSyncMaxLatency: latency * 3, liveSyncTargetLatency: latency });

  // Which of the stream's tracks the browser cannot play, by name.
  function unplayable(stream) {
    if (!mpegts.getFeatureList().mseLivePlayback) return ["FLV"];
    const can = (container, track) => track.mime !== null && MediaSource.isTypeSupported(`${container}; codecs="${track.mime}"`);
    const playable = (kind, track) => {
      if (track === null) return true;
      if (track.mime === "mp3") return MediaSource.isTypeSupported("audio/mpeg") || can("audio/mp4", track);
      return can(`${kind}/mp4`, track);
    };
    return ["video", "audio"].filter((kind) => !playable(kind, stream[kind])).map((kind) => stream[kind].name);
  }

  function stop() {
    clearTimeout(retry);
    retry = null;
    if (player) player.destroy();
    player = null;
    unmute.hidden = true;
  }

  function again() {
    clearTimeout(retry);
    retry = setTimeout(() => { if (url !== null && saved === null) begin(); }, RETRY_MS);
  }

  function begin() {
    stop();
    const has = saved === null ? { hasVideo: tracks.video, hasAudio: tracks.audio } : {};
    player = mpegts.createPlayer({ type: "flv", isLive: saved === null, url: source(), ...has }, { ...OPTIONS, ...pace() });
    player.attachMediaElement(film);
    player.on(mpegts.Events.ERROR, again);
    if (saved === null) player.on(mpegts.Events.LOADING_COMPLETE, again);
    player.load();
    if (isChosen && saved === null && back === 0) fill(player);
    else start();
  }

  function start() {
    // Browsers let muted films begin by themselves; the button gives the sound.
    Promise.resolve(player.play()).then(() => { unmute.hidden = !(film.muted && tracks.audio); }, () => {});
  }

  // Whoever chose a delay has so much in hand from the beginning: players only ever hurry.
  function fill(mine) {
    if (player !== mine) return;
    const { buffered, currentTime } = film;
    const inHand = buffered.length ? buffered.end(buffered.length - 1) - Math.max(currentTime, buffered.start(0)) : 0;
    if (inHand >= latency) start();
    else setTimeout(fill, 100, mine);
  }

  unmute.addEventListener("click", () => { film.muted = false; unmute.hidden = true; });
  film.addEventListener("volumechange", () => { if (!film.muted) unmute.hidden = true; });

  return {
    unplayable,
    // Plays what the channel has now; begins anew if that has changed.
    show(filmUrl, stream) {
      const now = { video: stream.video !== null, audio: stream.audio !== null, key: JSON.stringify([stream.video?.name, stream.audio?.name, stream.video?.mime]) };
      if (saved !== null) return;
      if (url === filmUrl && tracks !== null && tracks.key === now.key) return;
      [url, tracks] = [filmUrl, now];
      begin();
    },
    hide() {
      if (saved !== null) return;
      [url, tracks] = [null, null];
      stop();
    },
    // Plays from so many seconds before the newest, or live.
    goBack(seconds) {
      back = seconds;
      saved = null;
      if (url !== null) begin();
    },
    keepInHand(seconds) {
      [latency, isChosen] = [seconds, true];
      if (url !== null) begin();
    },
    back: () => back,
    // Plays a saved broadcast; null goes back to what comes.
    playSaved(address) {
      saved = address;
      if (saved === null) { url = null; stop(); return; }
      tracks ??= { video: true, audio: true, key: null };
      begin();
    },
    isSaved: () => saved !== null,
    // What the player knows of itself.
    statistics() {
      if (player === null) return null;
      const quality = film.getVideoPlaybackQuality();
      return { shown: quality.totalVideoFrames, dropped: quality.droppedVideoFrames, kilobytes: player.statisticsInfo?.speed ?? 0, rate: film.playbackRate };
    },
    // Seconds between what is shown and what has arrived.
    behind() {
      const { buffered, currentTime } = film;
      return player !== null && buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : null;
    },
    size: () => (player !== null && film.videoWidth ? [film.videoWidth, film.videoHeight] : null),
    // At a hole in the stream players stand still: over it.
    leap() {
      const { buffered, currentTime } = film;
      for (let i = 0; i < buffered.length; i++) {
        const from = buffered.start(i);
        if (from > currentTime && from - currentTime < 30 && film.readyState < 3) { film.currentTime = from + 0.05; return; }
      }
    },
  };
})();
