"use strict";
// A channel's group as a ring, with who feeds whom, and where neighbours are.
const Swarm = (() => {
  const PERIOD_MS = 2000;
  const SPACE = "http://www.w3.org/2000/svg";
  const RADIUS = 92;
  const [picture, legend, places] = ["swarm", "legend", "places"].map((id) => document.getElementById(id));
  let channel = null, timer = null;

  const at = (place) => [RADIUS * Math.sin(2 * Math.PI * place), -RADIUS * Math.cos(2 * Math.PI * place)];
  function make(name, attributes, title) {
    const element = document.createElementNS(SPACE, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (title) element.append(Object.assign(document.createElementNS(SPACE, "title"), { textContent: title }));
    return element;
  }
  const dot = (place, kind, size, title) => {
    const [cx, cy] = at(place);
    return make("circle", { cx, cy, r: size, class: kind }, title);
  };
  // Bent towards the middle, so that neighbours on the ring can be told apart.
  function tie(own, neighbour, kind, width, bend) {
    const [[x, y], [u, v]] = [at(own), at(neighbour.place)];
    return make("path", { d: `M ${x} ${y} Q ${(x + u) * bend} ${(y + v) * bend} ${u} ${v}`, class: kind, "stroke-width": width });
  }

  function draw(swarm) {
    const own = swarm.own ?? 0;
    const parts = [make("circle", { r: RADIUS, class: "ring" })];
    for (const neighbour of swarm.neighbours) {
      if (neighbour.is_pushed) parts.push(tie(own, neighbour, "to", 0.5 + neighbour.is_pushed / 4, 0.2));
      if (neighbour.pushes) parts.push(tie(own, neighbour, "from", 0.5 + neighbour.pushes / 4, 0.3));
      if (!neighbour.is_pushed && !neighbour.pushes) parts.push(tie(own, neighbour, "tie", 0.5, 0.25));
    }
    parts.push(...swarm.heard.map((place) => dot(place, "heard", 2)));
    parts.push(...swarm.neighbours.map((neighbour) => dot(neighbour.place, "neighbour", 3.5, `${neighbour.peer.slice(0, 16)}… at ${neighbour.address}${neighbour.rtt_ms === null ? "" : `, ${Math.round(neighbour.rtt_ms)} ms`}; gives ${neighbour.pushes}/8, gets ${neighbour.is_pushed}/8`)));
    if (swarm.own !== null) parts.push(dot(own, "own", 5, "this process"));
    picture.replaceChildren(...parts);
    const [gets, gives] = [swarm.neighbours.filter((n) => n.is_pushed).length, swarm.neighbours.filter((n) => n.pushes).length];
    legend.textContent = `${swarm.neighbours.length} ${swarm.neighbours.length === 1 ? "neighbour" : "neighbours"}: ${gets} fed from here, ${gives} feed us; ${swarm.heard.length} more heard of.`;
    const counts = Object.entries(swarm.places).sort((one, other) => other[1] - one[1]);
    const most = Math.max(1, ...counts.map((entry) => entry[1]));
    places.replaceChildren(...counts.map(([country, count]) => {
      const row = document.createElement("div");
      const bar = document.createElement("i");
      bar.style.width = `${100 * count / most}%`;
      row.append(Object.assign(document.createElement("span"), { textContent: country }), bar, Object.assign(document.createElement("span"), { textContent: count }));
      return row;
    }));
    if (counts.length === 0) places.replaceChildren(Object.assign(document.createElement("p"), { className: "dim", textContent: "No neighbours yet. Others' places come with their own reports." }));
  }

  async function load() {
    clearTimeout(timer);
    if (channel === null) return;
    const of = channel;
    try {
      const swarm = await Api.get(`api/swarm/${encodeURIComponent(of)}`, {});
      if (of === channel) draw(swarm);
    } catch {
      if (of === channel) draw({ own: null, neighbours: [], heard: [], places: {} });
    }
    clearTimeout(timer);
    timer = setTimeout(load, PERIOD_MS);
  }

  return {
    show(name) {
      if (name === channel) return;
      channel = name;
      load();
    },
  };
})();
