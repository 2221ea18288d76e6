// The stage: an example, the preview of what is made, or a clip, in one frame that never changes
// its place. live.js writes the words over it; strip.js knows the clips.
const stage = element.querySelector(".stage");
const on = (selector) => stage.querySelector(selector);
const film = on(".film");
let passing = 0;
const tell = (text, ...more) => {
  clearTimeout(passing);
  on(".told").replaceChildren(...(text ? [make("span", { text }), ...more] : []));
};
// What the strip says from then on. A clip that begins takes no words away: an Undo may be with them.
const tellBriefly = (text) => {
  tell(text);
  passing = setTimeout(() => tell(""), 6000);
};

let clips = []; // newest first
let shown = null; // the clip in the frame
let running = false;
let pinned = false; // somebody looks at a clip while another one is made
let newest = 0;

// ---- which of its layers ---------------------------------------------------------------------

const mode = () => {
  if (running && !pinned) return "run";
  return shown ? "clip" : "idle";
};
const shape = () => {
  const truth = document.querySelector("#truth [data-model]")?.dataset;
  const [wide, high] = mode() === "clip" ? [shown.width, shown.height] : [truth?.wide, truth?.high];
  if (!wide || !high) return; // the truth isn't there yet: as the page was built
  on(".canvas").style.setProperty("--wide", wide);
  on(".canvas").style.setProperty("--high", high);
};
const show = () => {
  stage.dataset.mode = mode();
  on(".caption").hidden = on(".acts").hidden = mode() !== "clip";
  for (const video of film.querySelectorAll("video")) {
    if (mode() === "clip") { if (!matchMedia("(prefers-reduced-motion:reduce)").matches) video.play().catch(() => {}); } else video.pause();
  }
  shape();
  // The last preview goes once the clip has faded in over it.
  if (mode() !== "run") setTimeout(forget, FADE);
};
const FADE = 600;
const forget = () => {
  if (mode() === "run") return;
  on(".preview").hidden = true;
  on(".preview").removeAttribute("src");
};

// ---- the clip --------------------------------------------------------------------------------

const act = async (what, body = {}) => {
  tell("");
  try {
    await ask(`clip/${shown.id}/${what}`, body);
    return true;
  } catch (error) {
    tell(error.message);
    return false;
  }
};
const again = async (fresh, exact = false) => {
  if (await act("again", { fresh, exact })) tellBriefly(headroomText(fresh ? "script.queued_new_seed" : "script.queued_same_seed"));
};
const favourite = async () => {
  if (!await act("favourite", { on: !shown.favourite })) return;
  shown.favourite = !shown.favourite;
  actions();
  on(".acts .favourite").focus();
  document.dispatchEvent(new CustomEvent("headroom-library", { detail: stage }));
};
const remove = async () => {
  const gone = shown;
  if (!await act("trash")) return;
  const changed = () => document.dispatchEvent(new CustomEvent("headroom-library", { detail: stage }));
  const undo = button(headroomText("script.undo"), async () => {
    try {
      await ask(`clip/${gone.id}/restore`, {});
      tell(headroomText("script.undone"));
      changed();
    } catch (error) { tell(error.message); }
  });
  tell(headroomText("script.deleted"), undo);
  changed();
  undo.focus();
};
const receipt = async () => {
  const about = shown;
  try {
    const { rows } = await ask(`clip/${about.id}/receipt`);
    openDialog(headroomText("script.receipt"), make("div", { id: "receipt" }, receiptTable(rows)));
  } catch (error) { tell(error.message); }
};
const begin = async (seconds) => {
  tell("");
  try {
    await beginWith(shown, seconds);
    document.querySelector("#prompt textarea")?.focus();
  } catch (error) { tell(error.message); }
};
const animate = () => begin(film.querySelector("video")?.currentTime ?? 0);
const goOn = () => begin(null);
const deed = (id, sign, name, act, about = {}) => {
  const made = button("", act, { id, class: "lib-button", ...about });
  made.append(headroomIcon(sign), make("span", { text: headroomText(name) }));
  return made;
};
// What changes the clip as last time; the list beside it has the other ways.
const withList = (deed, kind, label, ways) => {
  const list = make("select", { class: kind, "aria-label": headroomText(label) }, ...ways.map(([value, text]) => make("option", { value, text })));
  return [make("span", { class: "with-list" }, deed, list), list];
};
const smoother = () => {
  const press = async () => {
    const fps = Number(rates.value);
    keepRate(fps);
    if (await act("smooth", { fps })) tellBriefly(headroomText("script.queued_smooth", { n: fps }));
  };
  const [both, rates] = withList(deed("smooth", "smooth", "script.smooth", press), "rates", "script.smooth_rate",
    shown.rates.map((rate) => [rate, headroomText("script.fps", { n: rate })]));
  rates.value = smoothRate(shown);
  return both;
};
const enlarger = () => {
  const press = async () => {
    const size = shown.larger.find(({ height }) => height === Number(sizes.value));
    keepSize(size);
    if (await act("enlarge", { height: size.height })) tellBriefly(headroomText("script.queued_enlarge", { size: pixels(size) }));
  };
  const [both, sizes] = withList(deed("enlarge", "stretch", "script.enlarge", press, { title: headroomText("script.enlarge_about") }), "sizes", "script.enlarge_size",
    shown.larger.map((size) => [size.height, pixels(size)]));
  sizes.value = largerSize(shown).height;
  return both;
};
const small = (sign, name, act, about = {}) => {
  const made = button("", act, { class: "lib-icon", "aria-label": headroomText(name), title: headroomText(name), ...about });
  made.append(headroomIcon(sign));
  return made;
};
const actions = () => {
  const save = make("a", { class: "lib-icon", href: place("clip", shown, "&download=1"), download: "",
    "aria-label": headroomText("script.download"), title: headroomText("script.download") });
  save.append(headroomIcon("download"));
  on(".acts").replaceChildren(
    deed("same-again", "again", "script.same_again", () => again(false)),
    deed("new-seed", "dice", "script.new_seed", () => again(true)),
    ...(shown.draft ? [deed("make-exact", "check", "script.make_exact", () => again(false, true))] : []),
    deed("larger", "enlarge", "script.larger", () => trigger("edit", { id: shown.id }), { title: headroomText("script.larger_about") }),
    ...(shown.rates.length ? [smoother()] : []),
    ...(shown.larger.length ? [enlarger()] : []),
    deed("animate", "picture", "script.animate", animate),
    ...(shown.is_version ? [] : [deed("go-on", "after", "script.go_on", goOn)]),
    deed("use-settings", "edit", "script.use_settings", () => trigger("select", { id: shown.id })),
    make("span", { class: "gap" }),
    make("span", { class: "signs" }, small(shown.favourite ? "star-filled" : "star", "script.favourite", favourite,
      { class: "lib-icon favourite", "aria-pressed": String(shown.favourite) }),
    save,
    small("info", "script.receipt", receipt, { id: "open-receipt" }),
    small("trash", "script.delete", remove)));
};
// What else there is of the clip, and the wipe between the two.
const tellVersions = async (clip) => {
  const box = on(".versions");
  box.hidden = true;
  let all = [];
  try { all = await versionsOf(clip); } catch { return; }
  if (shown?.id !== clip.id || all.length < 2) return;
  const chips = versionChips(all, clip, (one) => { pinned = true; put(one); });
  const wipe = small("compare", "script.compare_versions", () => compare(pairOf(clip, all)));
  box.replaceChildren(...chips, wipe);
  box.hidden = false;
};
const put = (clip) => {
  const old = film.querySelector("video");
  const same = shown && clip && shown.id === clip.id && old;
  const changed = !same || JSON.stringify(shown) !== JSON.stringify(clip);
  shown = clip;
  if (!clip) { old?.remove(); show(); return; }
  on(".caption .prompt").textContent = clip.prompt;
  on(".caption .prompt").title = clip.prompt;
  on(".caption .facts").textContent = headroomText("script.clip_on_stage", { size: clip.size, seed: clip.seed, model: clip.model });
  const held = on(".acts").contains(document.activeElement) && document.activeElement;
  // A press on a button that is made anew meanwhile is lost.
  if (changed && (!held || !same)) {
    actions();
    if (held?.id) on(`#${held.id}`)?.focus({ preventScroll: true });
  }
  if (same) { show(); return; }
  tellVersions(clip);
  const video = make("video", { src: place("clip", clip), controls: true, loop: true, playsinline: true, preload: "auto",
    "aria-label": headroomText("script.clip_of", { prompt: short(clip, 120) }) });
  video.muted = true; // they have no sound, and browsers let only muted ones play by themselves
  // What was there stays until the clip has its first picture: the one fades into the other.
  const ready = () => {
    if (shown !== clip) return;
    film.querySelectorAll("video").forEach((other) => { if (other !== video) other.remove(); });
    show();
  };
  for (const event of ["loadeddata", "error"]) video.addEventListener(event, ready, { once: true });
  film.append(video);
};

const take = (found) => {
  clips = found;
  const first = clips[0]?.id ?? 0;
  const made = newest !== first;
  newest = first;
  const kept = shown && clips.find((clip) => clip.id === shown.id);
  if (made && first) { pinned = false; put(clips[0]); } else if (kept) put(kept); else put(clips[0] ?? null);
};
window.addEventListener("headroom-clips", ({ detail }) => take(detail.clips));
if (window.headroomClips) take(window.headroomClips); // strip.js was first
// A tile was pressed: a clip, or what runs.
window.addEventListener("headroom-show", ({ detail }) => {
  pinned = Boolean(detail.clip);
  tell("");
  if (detail.clip) put(detail.clip); else show();
});
window.addEventListener("headroom-live", ({ detail }) => {
  if (!("running" in detail) || detail.running === running) return;
  running = detail.running;
  if (running) { pinned = false; show(); return; }
  // The clip that was made comes with the list, in a moment; without one, what was there before.
  setTimeout(show, 400);
});

// What ended well is told for a moment: the clip itself says it from then on.
let fading = 0;
window.addEventListener("headroom-live", ({ detail }) => {
  if (!("outcome" in detail || "outcome_kind" in detail || "ended" in detail)) return;
  const outcome = on("[data-live=outcome]");
  clearTimeout(fading);
  outcome.classList.remove("past");
  if (outcome.dataset.kind !== "bad") fading = setTimeout(() => outcome.classList.add("past"), 6000);
});

// ---- with nothing made yet -------------------------------------------------------------------

let offered = null;
const offer = async (model) => {
  if (offered === model) return;
  offered = model;
  let found = [];
  try { found = await server.examples({ model }); } catch { offered = null; }
  if (offered !== model) return;
  on(".lead").textContent = headroomText(found.length ? "script.begin_with_one" : "script.begin");
  on(".examples").replaceChildren(...found.map(({ text, still }) => make("li", {},
    make("button", { type: "button", class: "example", translate: "no", onclick: () => trigger("input", { text }) },
      ...(still ? [make("img", { src: still, alt: "", width: 192, height: 192 })] : []), make("span", { text })))));
};
const follow = () => {
  const truth = document.querySelector("#truth [data-model]");
  if (truth) offer(truth.dataset.model);
  shape();
};
new MutationObserver(follow).observe(document.querySelector("#truth") ?? document.body, { childList: true, subtree: true });
follow();

on("#from-picture").addEventListener("click", () => window.dispatchEvent(new Event("headroom-choose-picture")));
on("#cancel").addEventListener("click", async () => {
  const job = Number(stage.querySelector("[data-live=job]").textContent) || null;
  try { tell(await server.cancel({ job })); } catch { tell(headroomText("script.unreached")); }
});
