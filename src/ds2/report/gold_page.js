"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const items = data.items, choices = data.choices;
  const byId = new Map(items.map((item, place) => [item.id, place]));
  const valid = new Set(choices.map((choice) => choice.value));
  const find = (id) => document.getElementById(id);
  const state = { at: 0, scores: new Map(), notes: new Map(), past: [] };
  let unsaved = false;
  let kept = true;

  function restore() {
    try {
      const found = JSON.parse(localStorage.getItem(data.store) || "null");
      if (!found || typeof found !== "object") return false;
      for (const [id, value] of found.scores)
        if (byId.has(id) && valid.has(value)) state.scores.set(id, value);
      for (const [id, text] of found.notes)
        if (byId.has(id) && typeof text === "string") state.notes.set(id, text);
      if (Array.isArray(found.past))
        state.past = found.past.filter((step) => step && items[step.at] && (step.before === null || valid.has(step.before)));
      if (items[found.at]) state.at = found.at;
      unsaved = Boolean(found.unsaved);
      return state.scores.size > 0;
    } catch { return false; }
  }

  function keep() {
    try { localStorage.setItem(data.store, JSON.stringify({ at: state.at, scores: [...state.scores], notes: [...state.notes], past: state.past, unsaved })); }
    catch {
      if (kept) say("This browser keeps nothing for this page: download your scores before you close it.");
      kept = false;
    }
  }

  const say = (text) => { find("status").textContent = text; };
  const nScored = () => state.scores.size;
  const scoreOf = (place) => state.scores.get(items[place].id);
  const wordsOf = (value) => choices.find((choice) => choice.value === value).words;
  const touch = matchMedia("(pointer: coarse)").matches;

  function show(focus) {
    const item = items[state.at], turns = find("turns"), n = nScored();
    turns.replaceChildren(...item.turns.map(([role, content]) => {
      const turn = document.createElement("article"), name = document.createElement("span"), text = document.createElement("p");
      turn.className = role === "assistant" ? "turn assistant" : "turn";
      name.className = "role";
      name.textContent = role;
      text.className = "text";
      text.dir = "auto";
      text.textContent = content;
      turn.append(name, text);
      return turn;
    }));
    find("place").textContent = `Example ${state.at + 1} of ${items.length}`;
    find("count").textContent = `${n} of ${items.length} scored`;
    find("progress").max = items.length;
    find("progress").value = n;
    for (const button of find("choices").children)
      button.setAttribute("aria-pressed", String(Number(button.dataset.value) === scoreOf(state.at)));
    find("note").value = state.notes.get(item.id) || "";
    find("back").disabled = state.at === 0;
    find("next").disabled = state.at === items.length - 1;
    find("undo").disabled = state.past.length === 0;
    find("clear").disabled = scoreOf(state.at) === undefined;
    find("open").disabled = n === items.length;
    if (!focus) return;
    find("place").scrollIntoView();
    find("place").focus({ preventScroll: true });
  }

  function put(place, value) {
    if (value === undefined || value === null) state.scores.delete(items[place].id);
    else state.scores.set(items[place].id, value);
    unsaved = true;
  }

  function score(value) {
    const place = state.at, before = scoreOf(place);
    state.past.push({ at: place, before: before === undefined ? null : before });
    put(place, value);
    const done = nScored() === items.length;
    if (place < items.length - 1) state.at += 1;
    keep();
    show(true);
    const said = value === null ? "score taken away" : `scored ${wordsOf(value)}`;
    say(`Example ${place + 1} ${said}.${done ? " All examples are scored: download your scores." : ""}`);
  }

  function go(place, words) {
    if (place < 0 || place >= items.length) { say(place < 0 ? "This is the first example." : "This is the last example."); return; }
    state.at = place;
    keep();
    show(true);
    say(words || "");
  }

  function undo() {
    const step = state.past.pop();
    if (!step) { say("There is nothing to undo."); return; }
    put(step.at, step.before);
    go(step.at, `Undone: example ${step.at + 1} ${step.before === null ? "has no score" : `is scored ${wordsOf(step.before)} again`}.`);
  }

  function clear() {
    if (scoreOf(state.at) === undefined) { say("This example has no score."); return; }
    const place = state.at;
    score(null);
    go(place, `Example ${place + 1} has no score now.`);
  }

  function firstOpen() {
    const place = items.findIndex((item) => !state.scores.has(item.id));
    if (place < 0) say("All examples are scored."); else go(place);
  }

  function rows() {
    return items.filter((item) => state.scores.has(item.id)).map((item) => {
      const row = { id: item.id, score: state.scores.get(item.id) };
      if (state.notes.has(item.id)) row.note = state.notes.get(item.id);
      return JSON.stringify({ ...row, stratum: item.stratum, stratum_rows: item.stratum_rows });
    });
  }

  function download() {
    if (!nScored()) { say("No example is scored yet, so there is nothing to download."); return; }
    const url = URL.createObjectURL(new Blob([rows().join("\n") + "\n"], { type: "application/jsonl" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = "gold-scores.jsonl";
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    unsaved = false;
    keep();
    say(`Downloaded ${nScored()} score${nScored() > 1 ? "s" : ""} as gold-scores.jsonl.`);
  }

  async function load(file) {
    let used = 0, left = 0;
    for (const line of (await file.text()).split("\n")) {
      if (!line.trim()) continue;
      try {
        const row = JSON.parse(line);
        if (!byId.has(row.id) || !valid.has(row.score)) { left += 1; continue; }
        state.scores.set(row.id, row.score);
        if (typeof row.note === "string" && row.note) state.notes.set(row.id, row.note);
        used += 1;
      } catch { left += 1; }
    }
    state.past = [];
    keep();
    show(true);
    say(`Loaded ${used} score${used === 1 ? "" : "s"} from the file${left ? `; ${left} line${left === 1 ? "" : "s"} did not fit this page` : ""}.`);
  }

  const n = choices.length;
  find("choices").style.setProperty("--wide", n);
  find("choices").style.setProperty("--narrow", n > 6 ? Math.ceil(n / 2) : n);
  for (const choice of choices) {
    const button = document.createElement("button"), small = document.createElement("small");
    button.type = "button";
    button.dataset.value = String(choice.value);
    button.setAttribute("aria-keyshortcuts", choice.key);
    button.textContent = choice.words;
    small.textContent = choice.label;
    button.append(small);
    if (choice.key !== choice.words) {
      const hint = document.createElement("kbd");
      hint.textContent = choice.key;
      button.prepend(hint, " ");
    }
    button.addEventListener("click", () => score(choice.value));
    find("choices").append(button);
  }

  const moves = {
    ArrowLeft: () => go(state.at - 1), ArrowRight: () => go(state.at + 1),
    s: () => go(state.at + 1, state.at < items.length - 1 ? `Example ${state.at + 1} skipped.` : ""),
    u: undo, x: clear, f: firstOpen, n: () => find("note").focus(),
  };
  const buttons = { back: "ArrowLeft", next: "ArrowRight", skip: "s", undo: "u", clear: "x", open: "f" };
  for (const [id, key] of Object.entries(buttons)) find(id).addEventListener("click", () => moves[key]());

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target === find("note")) {
      if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); find("place").focus(); }
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const choice = choices.find((one) => one.key === key);
    if (event.repeat && (choice || key === "u" || key === "x")) return;
    if (choice) { event.preventDefault(); score(choice.value); }
    else if (Object.hasOwn(moves, key)) { event.preventDefault(); moves[key](); }
  });

  find("note").addEventListener("input", (event) => {
    const id = items[state.at].id;
    if (event.target.value) state.notes.set(id, event.target.value); else state.notes.delete(id);
    unsaved = true;
    keep();
  });
  find("save").addEventListener("click", download);
  find("load").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", (event) => { if (event.target.files[0]) load(event.target.files[0]); event.target.value = ""; });
  addEventListener("beforeunload", (event) => { if (unsaved && !kept) event.preventDefault(); });

  find("more").addEventListener("click", () => {
    const shown = find("extra").classList.toggle("shown");
    find("more").setAttribute("aria-expanded", String(shown));
    find("more").textContent = shown ? "Less" : "More";
  });

  const resumed = restore();
  const named = (choice) => touch || choice.key === choice.words ? choice.words : `${choice.key} (${choice.words})`;
  if (find("guide")) find("guide").open = !resumed && innerWidth > 640;
  show(false);
  say(resumed ? `Welcome back: ${nScored()} scored so far.` : `${touch ? "Tap a score" : "Score with the digit keys"}: ${named(choices[0])} is the worst, ${named(choices.at(-1))} the best. Nothing leaves this browser until you download it.`);
  keep();
})();
