"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const n = data.n_points, numbers = new DataView(bytes(data.places).buffer);
  const xs = new Float32Array(n), ys = new Float32Array(n);
  for (let i = 0; i < n; i += 1) {
    xs[i] = (numbers.getUint16(2 * i, true) / 65535 - 0.5) * data.width;
    ys[i] = (0.5 - numbers.getUint16(2 * (n + i), true) / 65535) * data.height;
  }
  const names = Object.keys(data.selections);
  const sets = new Map(names.map((name) => [name, bytes(data.selections[name])]));
  const holds = (name, i) => sets.has(name) && (sets.get(name)[i >> 3] >> (i & 7) & 1) === 1;
  const textOf = new Map(data.text_at.map((at, place) => [at, data.texts[place]]));

  const view = find("view"), canvas = find("canvas"), ink = canvas.getContext("2d");
  const one = find("one"), two = find("two");
  const state = { x: 0, y: 0, zoom: 1, at: -1 };
  let kinds = new Uint8Array(n), width = 0, height = 0, waiting = false;

  const option = (select, value, words) => {
    const item = document.createElement("option");
    item.value = value;
    item.textContent = words;
    select.append(item);
  };
  for (const name of names) { option(one, name, name); }
  option(two, "", "nothing else");
  for (const name of names) { option(two, name, name); }
  one.value = sets.has(data.own) ? data.own : names[0];

  const scale = () => 0.94 * Math.min(width / data.width, height / data.height) * state.zoom;
  const toX = (i) => width / 2 + (xs[i] - state.x) * scale();
  const toY = (i) => height / 2 + (ys[i] - state.y) * scale();

  function recount() {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < n; i += 1) {
      kinds[i] = (holds(one.value, i) ? 1 : 0) + (two.value && holds(two.value, i) ? 2 : 0);
      counts[kinds[i]] += 1;
    }
    const rows = [["one", two.value ? `${one.value} alone` : one.value, counts[1]]];
    if (two.value) rows.push(["two", `${two.value} alone`, counts[2]], ["both", "both", counts[3]]);
    rows.push(["rest", "not selected", counts[0]]);
    find("legend").replaceChildren(...rows.map(([kind, words, count]) => {
      const item = document.createElement("li"), mark = document.createElement("span"), label = document.createElement("span");
      mark.className = `mark ${kind}`;
      mark.setAttribute("aria-hidden", "true");
      label.textContent = `${words}: ${count.toLocaleString("en")}`;
      item.append(mark, label);
      return item;
    }));
    paint();
  }

  function paint() {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
  }

  function draw() {
    waiting = false;
    const style = getComputedStyle(document.documentElement);
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.clearRect(0, 0, width, height);
    const grown = Math.min(3, Math.sqrt(state.zoom));
    const crowd = Math.max(0.8, Math.min(2, 150 / Math.sqrt(n))) * grown;
    const chosen = Math.max(1.6, Math.min(3, 60 / Math.sqrt(data.size))) * grown;
    for (const [kind, colour] of ["--dot", "--one", "--two", "--both"].entries()) {
      ink.fillStyle = style.getPropertyValue(colour).trim();
      const size = kind ? chosen : crowd;
      ink.beginPath();
      for (let i = 0; i < n; i += 1) {
        if (kinds[i] !== kind) continue;
        const x = toX(i), y = toY(i);
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        if (kind === 1 || kind === 3) { ink.moveTo(x + size, y); ink.arc(x, y, size, 0, 7); }
        else ink.rect(x - size, y - size, 2 * size, 2 * size);
      }
      ink.fill();
    }
    if (state.at >= 0) {
      ink.strokeStyle = style.getPropertyValue("--ink").trim();
      ink.lineWidth = 2;
      ink.beginPath();
      ink.arc(toX(state.at), toY(state.at), chosen + 5, 0, 7);
      ink.stroke();
    }
  }

  function tell(i) {
    if (i === state.at) return;
    state.at = i;
    const parts = [];
    if (i >= 0) {
      const by = names.filter((name) => holds(name, i));
      const text = document.createElement("p"), note = document.createElement("p");
      text.dir = "auto";
      text.textContent = textOf.get(i) ?? "(The page holds no text of this point.)";
      note.className = "note";
      note.textContent = by.length ? `Selected by ${by.join(", ")}.` : "Selected by no method.";
      parts.push(text, note);
    }
    find("shown").replaceChildren(...parts);
    paint();
  }

  function nearest(x, y, reach) {
    let best = -1, least = reach * reach;
    for (let i = 0; i < n; i += 1) {
      const dx = toX(i) - x, dy = toY(i) - y;
      const far = (dx * dx + dy * dy) * (kinds[i] ? 0.5 : 1) * (textOf.has(i) ? 1 : 2);
      if (far < least) { least = far; best = i; }
    }
    return best;
  }

  function keep() {
    const room = (extent) => extent / 2;
    state.x = Math.max(-room(data.width), Math.min(room(data.width), state.x));
    state.y = Math.max(-room(data.height), Math.min(room(data.height), state.y));
    paint();
  }

  function zoom(factor, x = width / 2, y = height / 2) {
    const before = scale();
    state.zoom = Math.max(1, Math.min(80, state.zoom * factor));
    const after = scale();
    state.x += (x - width / 2) * (1 / before - 1 / after);
    state.y += (y - height / 2) * (1 / before - 1 / after);
    keep();
  }

  function whole() { Object.assign(state, { x: 0, y: 0, zoom: 1 }); paint(); }

  function pan(dx, dy) { state.x += dx / scale(); state.y += dy / scale(); keep(); }

  function step(dx, dy) {
    const from = state.at >= 0 ? state.at : nearestChosen();
    if (state.at < 0) { tell(from); return; }
    let best = -1, least = Infinity;
    for (let i = 0; i < n; i += 1) {
      if (!kinds[i] || i === from) continue;
      const ahead = (xs[i] - xs[from]) * dx + (ys[i] - ys[from]) * dy;
      const aside = Math.abs((xs[i] - xs[from]) * dy) + Math.abs((ys[i] - ys[from]) * dx);
      if (ahead <= 0 || aside > 2 * ahead) continue;
      const far = ahead + 2 * aside;
      if (far < least) { least = far; best = i; }
    }
    if (best < 0) return;
    tell(best);
    const x = toX(best), y = toY(best);
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) { state.x = xs[best]; state.y = ys[best]; keep(); }
  }

  function nearestChosen() {
    let best = -1, least = Infinity;
    for (let i = 0; i < n; i += 1) {
      const far = Math.hypot(xs[i] - state.x, ys[i] - state.y);
      if (kinds[i] && far < least) { least = far; best = i; }
    }
    return best;
  }

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = arrows[event.key];
    if (way && event.shiftKey) pan(way[0] * 60, way[1] * 60);
    else if (way) step(...way);
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-" || event.key === "_") zoom(1 / 1.5);
    else if (event.key === "0") whole();
    else return;
    event.preventDefault();
  });

  let held = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  view.addEventListener("pointerdown", (event) => {
    held = place(event);
    if (event.pointerType !== "touch") view.setPointerCapture(event.pointerId);
    else tell(nearest(...held, 24));
  });
  view.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!held) { tell(nearest(x, y, 12)); return; }
    pan(held[0] - x, held[1] - y);
    held = [x, y];
  });
  for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, () => { held = null; });
  view.addEventListener("wheel", (event) => {
    if (document.activeElement !== view && !event.ctrlKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...place(event));
  }, { passive: false });

  find("in").addEventListener("click", () => zoom(1.5));
  find("out").addEventListener("click", () => zoom(1 / 1.5));
  find("all").addEventListener("click", whole);
  for (const select of [one, two]) select.addEventListener("change", recount);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  find("atlas").hidden = false;
  new ResizeObserver(() => { width = view.clientWidth; height = view.clientHeight; paint(); }).observe(view);
  width = view.clientWidth;
  height = view.clientHeight;
  recount();
})();
