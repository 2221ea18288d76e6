// A visitor's page. Text is only ever set with textContent; what isn't theirs never arrives here.
const $ = (name) => document.getElementById(name);
const tell = (text) => { $("told").textContent = text; $("told").hidden = text === ""; };
const ask = async (path, body) => {
  const answer = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }).catch(() => {
    throw new Error(headroomText("script.door_unreached"));
  });
  const said = await answer.json().catch(() => ({ error: headroomText("script.door_silent") }));
  if (!answer.ok) throw Object.assign(new Error(said.error), { status: answer.status });
  return said;
};
const send = async (file) => {
  const path = `picture?${new URLSearchParams({ name: file.name })}`;
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file })
    .catch(() => { throw new Error(headroomText("script.door_unreached")); });
  const said = await answer.json().catch(() => ({ error: headroomText("script.door_silent") }));
  if (!answer.ok) throw Object.assign(new Error(said.error), { status: answer.status });
  return said.picture;
};
const make = (kind, text = "", name = "") => {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
};

// A row is built once for a clip that is awaited and once for its end; between, its words and its
// bar change in place: whoever presses or has focused its button keeps it.
const rows = new Map();
const build = (item, job, awaited) => {
  const prompt = make("p", job.prompt);
  prompt.translate = false;
  const bar = make("progress");
  bar.max = 1;
  bar.setAttribute("aria-label", headroomText("script.this_clip"));
  const acts = make("div", "", "acts");
  const parts = [prompt, make("p", "", "small"), bar];
  if (job.clip) {
    const video = make("video");
    Object.assign(video, { src: `clip/${job.id}.mp4`, poster: `clip/${job.id}.jpg`, controls: true, loop: true, playsInline: true, preload: "none" });
    const link = make("a", headroomText("script.download"));
    link.href = `clip/${job.id}.mp4?download`;
    acts.append(link);
    parts.push(video);
  }
  if (awaited) {
    const stop = make("button", headroomText("script.cancel"), "quiet");
    stop.type = "button";
    stop.setAttribute("aria-label", headroomText("script.cancel_clip", { prompt: job.prompt }));
    stop.onclick = () => ask("cancel", { job: job.id }).then(look, (error) => tell(error.message));
    acts.append(stop);
  }
  if (acts.children.length) parts.push(acts);
  item.replaceChildren(...parts);
};
const row = (job) => {
  if (!rows.has(job.id)) rows.set(job.id, make("li"));
  const item = rows.get(job.id);
  const awaited = job.state === "queued" || job.state === "running";
  const built = awaited ? "awaited" : job.state;
  if (item.dataset.built !== built) {
    build(item, job, awaited);
    item.dataset.built = built;
  }
  const small = item.querySelector(".small");
  const words = {
    queued: job.told || (job.before ? headroomText("script.waiting_behind", { n: job.before }) : headroomText("script.next")),
    running: job.left ? headroomText("script.stage_and_left", { stage: job.stage, left: job.left })
      : job.stage || headroomText("script.starting"),
  }[job.state] || job.told;
  if (small.dataset.words !== words) small.textContent = small.dataset.words = words;
  small.hidden = words === "";
  const bar = item.querySelector("progress");
  bar.hidden = job.state !== "running";
  bar.value = job.fraction;
  return item;
};

let filled = false;
const draw = (state) => {
  $("enter").hidden = true;
  $("make").hidden = false;
  const minutes = Math.ceil(state.left / 60);
  $("left").textContent = minutes === 1
    ? headroomText("script.ends_in_minute") : headroomText("script.ends_in_minutes", { n: minutes });
  $("pictures").hidden = !state.pictures;
  $("engine").textContent = headroomText("script.engine_for_visitors", { model: state.model, state: state.engine });
  const form = $("make").elements;
  if (!filled) {
    for (const size of state.sizes) form.size.add(new Option(size.text, `${size.height}×${size.width}`));
    for (const length of state.lengths) form.frames.add(new Option(length.text, length.frames));
    form.size.value = form.size.dataset.usual = `${state.chosen.height}×${state.chosen.width}`;
    form.frames.value = state.chosen.frames;
    filled = true;
  }
  const list = $("jobs");
  state.jobs.map(row).forEach((item, at) => {
    // What stands where it should isn't touched: a node that is moved loses its focus.
    if (item !== list.children[at]) list.insertBefore(item, list.children[at] || null);
  });
  while (list.children.length > state.jobs.length) list.lastChild.remove();
};

let timer = null;
const look = async () => {
  clearTimeout(timer);
  try {
    draw(await ask("state"));
    if ($("told").dataset.lost) { tell(""); delete $("told").dataset.lost; }
  } catch (error) {
    if (error.status === 401 || error.status === 410) { // not let in, or there is no share any more
      $("enter").hidden = error.status === 410;
      $("make").hidden = true;
      $("jobs").replaceChildren();
      if (error.status === 410) tell(error.message);
      return;
    }
    tell(headroomText("script.door_lost"));
    $("told").dataset.lost = "yes";
  }
  timer = setTimeout(look, document.hidden ? 5000 : 1000);
};

$("enter").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target.elements;
  try {
    await ask("enter", { name: form.name.value, password: form.password.value });
    tell("");
    form.password.value = "";
    look();
  } catch (error) { tell(error.message); }
};
$("make").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target.elements;
  const asked = { prompt: form.prompt.value, frames: Number(form.frames.value) };
  if (form.seed.value) asked.seed = Number(form.seed.value);
  try {
    for (const name of ["image", "last_image"]) {
      const [file] = form[name].files;
      if (file) asked[name] = await send(file);
    }
    // With a picture the size follows its shape, unless another one is chosen.
    if (!asked.image || form.size.value !== form.size.dataset.usual) [asked.height, asked.width] = form.size.value.split("×").map(Number);
    await ask("generate", asked);
    tell("");
    look();
  } catch (error) { tell(error.message); }
};
// The QR code's address carries the password behind the #, which browsers send to nobody.
if (location.hash.length > 1) {
  $("enter").elements.password.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
look();
