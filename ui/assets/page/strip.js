// The strip: what runs, what waits, what failed and what was made, each a tile that the stage
// shows or that is dealt with in its place. live.js receives the queue, the library has the clips.
const part = (name) => element.querySelector(`[data-queue="${name}"]`);
const NEWEST = 24;
const say = (text) => {
  part("told").textContent = text;
  part("told").hidden = text === "";
};
const press = async (name, job = null) => {
  try {
    const told = await server.pressed({ do: name, job });
    say(told);
    if (name === "edit" && told === "") edit(job);
  } catch {
    say(headroomText("script.unreached"));
  }
};

// ---- what waits and what failed ----------------------------------------------------------------

// A button's name, its icon, what it is called, and what it is called with its job.
const UP = ["up", "up", "script.earlier", "script.earlier_job"];
const DOWN = ["down", "down", "script.later", "script.later_job"];
const EDIT = ["edit", "edit", "script.edit", "script.edit_job"];
const CANCEL = ["cancel", "cancel", "script.remove", "script.remove_job"];
const AGAIN = ["again", "again", "script.try_again", "script.try_job_again"];
const BUTTONS = { clip: [UP, DOWN, EDIT, CANCEL], version: [UP, DOWN, CANCEL], probe: [UP, DOWN, CANCEL], ended: [AGAIN] };
const CLOSED = { busy: "script.job_busy", locked: "script.job_locked", impossible: "script.job_impossible" };
const jobButton = (job, [name, sign, called, calledWith], title) => {
  const made = make("button", { type: "button", class: "lib-icon", title: headroomText(called), "data-called": calledWith,
    "data-do": name, "aria-label": headroomText(calledWith, { job: title }), onclick: () => press(name, job) });
  made.append(headroomIcon(sign));
  return made;
};
const line = (kind, text) => make("span", { class: kind, text, hidden: text === "" });

// A tile is built once and then kept while its words stay: whoever holds a button's focus keeps it.
const rows = new Map();
const row = (job, buttons) => {
  const key = `${buttons}-${job.id}`;
  const words = JSON.stringify({ ...job, place: 0 });
  let item = rows.get(key);
  if (!item) {
    item = make("li", { class: "tile", "data-job": job.id }, make("div", { class: "what" }),
      make("div", { class: "acts" }, ...BUTTONS[buttons].map((b) => jobButton(job.id, b, job.title))));
    rows.set(key, item);
  }
  if (item.dataset.words !== words) {
    item.dataset.words = words;
    item.className = `tile ${job.verdict || job.state || ""}`;
    const small = [job.size, job.starts].filter(Boolean).join(" · ");
    const why = job.verdict ? headroomText(CLOSED[job.verdict], { why: job.why }) : job.why;
    const lines = [line("title", job.title), line("small", small), line("small why", why)];
    for (const one of lines) one.title = one.textContent; // a tile is small
    lines[0].translate = job.kind === "probe"; // a prompt is its author's words
    item.firstElementChild.replaceChildren(...lines);
    for (const made of item.querySelectorAll("button")) {
      made.setAttribute("aria-label", headroomText(made.dataset.called, { job: job.title }));
    }
  }
  return item;
};
const fill = (list, wanted) => {
  if (wanted.length === list.children.length && wanted.every((item, at) => item === list.children[at])) return;
  const focused = document.activeElement;
  list.replaceChildren(...wanted);
  if (focused && list.contains(focused)) focused.focus();
};

const draw = () => {
  const state = window.headroomQueue;
  if (!state || !element.isConnected) return;
  const { waiting, more, ended } = state;
  const held = element.contains(document.activeElement) && document.activeElement.closest("li[data-job]");
  const list = held && held.parentElement;
  const place = held && [...list.children].indexOf(held);
  const here = new Set([...waiting.map((j) => `${j.kind}-${j.id}`), ...ended.map((j) => `ended-${j.id}`)]);
  for (const key of rows.keys()) if (!here.has(key)) rows.delete(key);
  fill(part("waiting"), waiting.map((job) => row(job, job.kind)));
  fill(part("ended"), ended.map((job) => row(job, "ended")));
  part("head").textContent = waiting.length ? headroomText("script.jobs_waiting", { n: waiting.length + more }) : "";
  element.querySelector("[data-do=cancel_waiting]").hidden = waiting.length === 0;
  part("more").textContent = more ? headroomText("script.jobs_more", { n: more }) : "";
  part("more").hidden = !more;
  element.querySelector("[data-do=clear_ended]").hidden = ended.length === 0;
  tellEmpty();
  if (!held || held.isConnected) return;
  // Its tile is gone, and its focus with it. Not onto the next one's button: a second press would
  // remove that one as well.
  const next = list.children[place] || list.lastElementChild || element.querySelector("li.tile");
  if (next) { next.tabIndex = -1; next.focus(); }
};
element.querySelectorAll(".strip-head [data-do]").forEach((made) => {
  made.onclick = () => (made.dataset.do === "all" ? trigger("expand") : press(made.dataset.do));
});
window.addEventListener("headroom-queue", draw);

// ---- what runs -----------------------------------------------------------------------------------

// A tile for each clip that is made now: several cards make several.
let making = [];
const tiles = new Map();
const runTile = (job) => {
  const picture = make("button", { type: "button", class: "tile-picture",
    onclick: () => window.dispatchEvent(new CustomEvent("headroom-show", { detail: { job } })) },
  make("span", { class: "percent" }));
  return make("li", { class: "tile running", "data-job": job }, picture,
    make("div", { class: "what" }, line("title", "x"), line("small", "x")));
};
const drawRun = (run) => {
  if (!tiles.has(run.job)) tiles.set(run.job, runTile(run.job));
  const item = tiles.get(run.job);
  const [title, lane] = item.querySelectorAll(".what > span");
  const picture = item.firstElementChild;
  title.textContent = run.title;
  title.translate = run.title_kind === "probe";
  lane.textContent = run.lane;
  lane.hidden = run.lane === "";
  picture.title = run.lane;
  picture.firstElementChild.textContent = headroomText("script.percent", { n: Math.round(run.fraction * 100) });
  picture.setAttribute("aria-label", headroomText("script.show_running", { title: run.title }));
  picture.style.setProperty("--done", run.fraction);
  picture.style.backgroundImage = run.preview ? `url("${run.preview}")` : "";
  return item;
};
const drawRunning = () => {
  making = window.headroomMade ?? [];
  for (const job of tiles.keys()) if (!making.some((run) => run.job === job)) tiles.delete(job);
  part("running").hidden = making.length === 0;
  fill(part("running"), making.map(drawRun));
  tellEmpty();
};
window.addEventListener("headroom-making", drawRunning);

// ---- what was made -------------------------------------------------------------------------------

let clips = [];
const tile = (clip) => {
  const picture = make("img", { src: place("thumb", clip), alt: "", loading: "lazy", decoding: "async", width: 160, height: 90,
    translate: "no", title: clip.prompt });
  let tries = 0;
  picture.addEventListener("load", () => {
    // A drawing 16 wide stands for a still that is made right now.
    if (picture.naturalWidth !== 16 || tries === 5) return;
    tries += 1;
    setTimeout(() => { if (picture.isConnected) picture.src = place("thumb", clip, `&try=${tries}`); }, 700 * 2 ** (tries - 1));
  });
  return make("li", { class: "tile made", "data-clip": clip.id },
    make("button", { type: "button", class: "tile-picture",
      "aria-label": headroomText("script.show_clip", { prompt: short(clip, 80) }),
      onclick: () => window.dispatchEvent(new CustomEvent("headroom-show", { detail: { clip } })) }, picture),
    make("div", { class: "what" }, make("span", { class: "title", translate: "no", text: clip.prompt }),
      make("span", { class: "small", text: clip.size })));
};
let asked = 0;
const reload = async () => {
  const mine = (asked += 1);
  try {
    const told = await ask(`library?${new URLSearchParams({ limit: NEWEST })}`);
    if (mine !== asked) return;
    clips = told.clips;
    const held = document.activeElement?.closest?.("#strip [data-clip]")?.dataset.clip;
    part("made").replaceChildren(...clips.map(tile));
    if (held) part("made").querySelector(`[data-clip="${held}"] button`)?.focus({ preventScroll: true });
    element.querySelector("[data-do=all]").hidden = clips.length === 0;
    tellEmpty();
    window.headroomClips = clips;
    window.dispatchEvent(new CustomEvent("headroom-clips", { detail: { clips } }));
  } catch (error) {
    if (mine === asked) say(error.message);
  }
};
const tellEmpty = () => {
  const { waiting = [], ended = [] } = window.headroomQueue ?? {};
  part("empty").hidden = making.length + waiting.length + ended.length + clips.length > 0;
};
document.addEventListener("headroom-ended", reload);
document.addEventListener("headroom-library", reload);

// ---- a waiting clip, edited where it stands ------------------------------------------------------

const choice = (name, label, options, value) => {
  const select = make("select", { name }, ...options.map(([text, id]) => make("option", { value: id, text, selected: String(id) === String(value) })));
  return make("label", {}, make("span", { text: label }), select);
};
const edit = async (job) => {
  const found = await server.editable({ job });
  if (found.refused) return say(found.refused);
  const told = make("p", { class: "refusal", role: "alert", hidden: true });
  const prompt = make("textarea", { name: "prompt", rows: 5, translate: "no", autofocus: true });
  prompt.value = found.prompt;
  const seed = make("input", { name: "seed", inputmode: "numeric", value: found.seed, autocomplete: "off" });
  const form = make("form", { class: "edit-job" },
    make("label", {}, make("span", { text: headroomText("script.prompt") }), prompt),
    make("div", { class: "edit-row" },
      choice("size", headroomText("script.size"), found.sizes, found.size),
      choice("frames", headroomText("script.length"), found.lengths, found.frames),
      make("label", {}, make("span", { text: headroomText("script.seed") }), seed)),
    told,
    make("div", { class: "lib-acts" },
      make("button", { type: "submit", class: "lib-button filled", id: "save-job", text: headroomText("script.save") }),
      button(headroomText("script.discard"), () => dialog.close(), { id: "leave-job" })));
  const dialog = openDialog(headroomText("script.editing", { n: found.place }), form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = (name) => form.elements[name].value;
    let answer;
    try {
      answer = await server.edited({ job, prompt: value("prompt"), size: value("size"), frames: value("frames"), seed: value("seed") });
    } catch {
      answer = headroomText("script.unreached");
    }
    told.textContent = answer;
    told.hidden = answer === "";
    if (answer === "") dialog.close();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); event.stopPropagation(); form.requestSubmit(); }
  });
};

draw();
drawRunning();
reload();
