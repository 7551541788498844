"use strict";
// Requests, with the token that the page was opened with.
const Api = (() => {
  const token = new URLSearchParams(location.search).get("token");
  const PATIENCE_MS = 5000;
  function url(path, parameters) {
    const query = new URLSearchParams(parameters);
    if (token !== null) query.set("token", token);
    const text = query.toString();
    return text ? `${path}?${text}` : path;
  }
  return {
    url,
    async get(path, parameters) {
      const answer = await fetch(url(path, parameters), { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(await answer.text());
      return answer.json();
    },
    // Why it was refused, or null.
    async post(path) {
      try {
        const answer = await fetch(url(path, {}), { method: "POST", headers: { "X-Flvcast": "1" }, signal: AbortSignal.timeout(PATIENCE_MS) });
        return answer.ok ? null : await answer.text();
      } catch (error) {
        return error.message;
      }
    },
  };
})();
