// Two clips in step: side by side, or one over the other with a divider that wipes between them.
let wiping = false; // as it was left

// The rows of two receipts that aren't the same; the reasons are left to each clip's own receipt. The
// last row is the file's name, which two clips never share.
const differences = (one, other) => {
  const values = [one, other].map((rows) => new Map(rows.slice(0, -1).map(([name, value]) => [name, value])));
  return [...new Set([...values[0].keys(), ...values[1].keys()])]
    .map((name) => [name, values[0].get(name) ?? "–", values[1].get(name) ?? "–"])
    .filter(([, a, b]) => a !== b);
};

const differencesTable = (rows) => (rows.length ? make("table", { class: "receipt" },
  make("thead", {}, make("tr", {}, ...["", "A", "B"].map((text) => make("th", { scope: "col", text })))),
  make("tbody", {}, ...rows.map(([name, a, b]) => make("tr", {},
    make("th", { scope: "row", text: name }), ...[a, b].map((text) => make("td", { translate: "no", text }))))))
  : make("p", { text: headroomText("script.same_receipts") }));

// Both films play as one. `wanted` is whether they shall, and `tell` hears of each picture.
const inStep = (films, fps, tell) => {
  const moving = { wanted: true, ended: false };
  // The longer one leads; the other is put right when it strays, and waits on its last picture.
  const ordered = () => (films[0].duration >= films[1].duration ? films : [films[1], films[0]]);
  const turn = () => {
    if (moving.ended) return;
    requestAnimationFrame(turn);
    if (films.some((film) => film.readyState < 2)) return;
    const [lead, other] = ordered();
    const { wanted } = moving;
    if (lead.ended && wanted) films.forEach((film) => { film.currentTime = 0; });
    const within = lead.currentTime < other.duration - 0.02;
    if (within && Math.abs(other.currentTime - lead.currentTime) > 0.06) other.currentTime = lead.currentTime;
    for (const [film, on] of [[lead, wanted], [other, wanted && within]]) {
      if (on && film.paused) film.play().catch(() => {});
      if (!on && !film.paused) film.pause();
    }
    tell(lead.currentTime / lead.duration);
  };
  const seek = (seconds) => films.forEach((film) => {
    film.currentTime = Math.min(Math.max(0, seconds), Math.max(0, film.duration - 0.01));
  });
  moving.seek = (part) => seek(part * (ordered()[0].duration || 0));
  // To the middle of the next picture: at its edge browsers show the one before.
  moving.step = (by) => {
    moving.wanted = false;
    seek((Math.floor(ordered()[0].currentTime * fps + 0.01) + by + 0.5) / fps);
  };
  requestAnimationFrame(turn);
  return moving;
};

// Where the divider stands, in per cent from the left; dragged in the picture or moved by its range.
const divider = (pair) => {
  const range = make("input", { type: "range", class: "lib-divider", min: 0, max: 100, step: 1, value: 50, "aria-label": headroomText("script.divider") });
  const show = () => pair.style.setProperty("--wipe", `${range.value}%`);
  const drag = (event) => {
    const { left, width } = pair.querySelector("video").getBoundingClientRect();
    range.value = Math.round((event.clientX - left) / width * 100);
    show();
  };
  pair.addEventListener("pointerdown", (event) => {
    if (!pair.classList.contains("wipe") || !event.target.closest("video, .lib-line")) return;
    event.preventDefault();
    pair.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true });
    drag(event);
  });
  pair.addEventListener("pointermove", (event) => { if (pair.hasPointerCapture(event.pointerId)) drag(event); });
  range.addEventListener("input", show);
  show();
  return range;
};

const compare = async (clips) => {
  const told = make("p", { class: "lib-told", role: "status" });
  const films = clips.map((clip) => film(clip, { preload: "auto" }));
  const pair = make("div", { class: "lib-pair" },
    ...clips.map((clip, index) => make("figure", {}, films[index],
      make("figcaption", { translate: "no" }, make("b", { text: "AB"[index] }), ` ${short(clip, 120)}`))),
    make("span", { class: "lib-line", "aria-hidden": "true" }));
  const wipe = divider(pair);
  for (const part of [pair, wipe]) part.style.setProperty("--ratio", clips[0].width / clips[0].height);

  const slider = make("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": headroomText("script.place_in_both") });
  const play = button(headroomText("script.pause"), () => { moving.wanted = !moving.wanted; });
  const step = (by) => moving.step(by);
  const forms = [[false, "script.side_by_side"], [true, "script.wipe"]].map(([on, said]) =>
    button(headroomText(said), () => { wiping = on; arrange(); }));
  const arrange = () => {
    pair.classList.toggle("wipe", wiping);
    wipe.hidden = !wiping;
    forms.forEach((one, index) => one.setAttribute("aria-pressed", String(Boolean(index) === wiping)));
  };
  arrange();
  const table = make("div", { class: "lib-differences" });
  const alike = make("p", { class: "lib-likeness", text: headroomText("script.comparing") });
  const dialog = openDialog(headroomText("script.compare"),
    make("div", { class: "lib-forms", role: "group", "aria-label": headroomText("script.view") }, ...forms),
    pair, wipe,
    make("div", { class: "lib-transport" }, play,
      iconButton("before", headroomText("script.previous_frame"), () => step(-1)),
      iconButton("after", headroomText("script.next_frame"), () => step(1)), slider),
    alike, told, table);
  dialog.classList.add("wide");
  dialog.addEventListener("keydown", (event) => {
    const by = { ",": -1, ".": 1 }[event.key];
    if (by && !event.ctrlKey && !event.metaKey) step(by);
  });

  const fps = Math.max(...clips.map((clip) => clip.fps || 16));
  let playing = true;
  const moving = inStep(films, fps, (part) => {
    if (playing !== moving.wanted) {
      playing = moving.wanted;
      play.textContent = headroomText(playing ? "script.pause" : "script.play");
    }
    if (document.activeElement !== slider || playing) slider.value = part * 1000;
  });
  dialog.addEventListener("close", () => { moving.ended = true; });
  slider.addEventListener("input", () => moving.seek(slider.value / 1000));
  try {
    const receipts = await Promise.all(clips.map((clip) => ask(`clip/${clip.id}/receipt`)));
    table.append(differencesTable(differences(...receipts.map((one) => one.rows))));
    alike.textContent = (await ask(`clip/${clips[0].id}/likeness/${clips[1].id}`)).words;
  } catch (error) {
    if (alike.textContent === headroomText("script.comparing")) alike.textContent = "";
    told.textContent = error.message;
  }
};
