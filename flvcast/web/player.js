"use strict";
// The film on the page: played by mpegts.js, begun anew whenever it breaks, and honest about what
// this browser cannot play.
const Player = (() => {
  const RETRY_MS = 1500;
  const OPTIONS = { lazyLoad: false, autoCleanupSourceBuffer: true };
  const film = document.getElementById("film");
  const unmute = document.getElementById("unmute");
  let player = null, retry = null, url = null, tracks = null;
  // How far behind the newest it plays, in seconds, and how much of it it keeps in hand.
  let back = 0, latency = 2;

  const source = () => (back > 0 ? `${url}${url.includes("?") ? "&" : "?"}back=${back}` : url);
  const pace = () => (back > 0 ? { liveSync: false } : { liveSync: true, liveSyncMaxLatency: latency * 3, liveSyncTargetLatency: latency });

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
    retry = setTimeout(() => { if (url !== null) begin(); }, RETRY_MS);
  }

  function begin() {
    stop();
    player = mpegts.createPlayer({ type: "flv", isLive: true, url: source(), hasVideo: tracks.video, hasAudio: tracks.audio }, { ...OPTIONS, ...pace() });
    player.attachMediaElement(film);
    player.on(mpegts.Events.ERROR, again);
    player.on(mpegts.Events.LOADING_COMPLETE, again);
    player.load();
    // Browsers let muted films begin by themselves; the button gives the sound.
    Promise.resolve(player.play()).then(() => { unmute.hidden = !(film.muted && tracks.audio); }, () => {});
  }

  unmute.addEventListener("click", () => { film.muted = false; unmute.hidden = true; });
  film.addEventListener("volumechange", () => { if (!film.muted) unmute.hidden = true; });

  return {
    unplayable,
    // Plays what the channel has now; begins anew if that has changed.
    show(filmUrl, stream) {
      const now = { video: stream.video !== null, audio: stream.audio !== null, key: JSON.stringify([stream.video?.name, stream.audio?.name, stream.video?.mime]) };
      if (url === filmUrl && tracks !== null && tracks.key === now.key) return;
      [url, tracks] = [filmUrl, now];
      begin();
    },
    hide() {
      [url, tracks] = [null, null];
      stop();
    },
    // Plays from so many seconds before the newest, or live.
    goBack(seconds) {
      back = seconds;
      if (url !== null) begin();
    },
    keepInHand(seconds) {
      latency = seconds;
      if (url !== null) begin();
    },
    back: () => back,
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
