// Draws the queue that live.js received; its buttons call the page's process by name and number.
const part = (name) => element.querySelector(`[data-queue="${name}"]`);
const say = (text) => {
  part("told").textContent = text;
  part("told").hidden = text === "";
};
const press = async (name, job = null) => {
  try {
    const told = await server.pressed({ do: name, job });
    say(told);
    if (name === "edit" && told === "") trigger("edit", { job });
  } catch {
    say(headroomText("script.unreached"));
  }
};

// A button's name, its sign, what it is called, and what it is called with its job.
const UP = ["up", "↑", "script.earlier", "script.earlier_job"];
const DOWN = ["down", "↓", "script.later", "script.later_job"];
const EDIT = ["edit", "✎", "script.edit", "script.edit_job"];
const CANCEL = ["cancel", "✕", "script.remove", "script.remove_job"];
const AGAIN = ["again", "↻", "script.try_again", "script.try_job_again"];
const BUTTONS = { clip: [UP, DOWN, EDIT, CANCEL], probe: [UP, DOWN, CANCEL], ended: [AGAIN] };
const CLOSED = { busy: "script.job_busy", locked: "script.job_locked", impossible: "script.job_impossible" };
const button = (job, [name, sign, called, calledWith], title) => {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = sign;
  made.title = headroomText(called);
  made.dataset.called = calledWith;
  made.setAttribute("aria-label", headroomText(calledWith, { job: title }));
  made.dataset.do = name;
  made.onclick = () => press(name, job);
  return made;
};
const line = (kind, text) => {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  made.hidden = text === "";
  return made;
};

// A row is built once and then kept while its words stay: whoever holds a button's focus keeps it.
const rows = new Map();
const row = (job, buttons) => {
  const key = `${buttons}-${job.id}`;
  const words = JSON.stringify({ ...job, place: 0 });
  let item = rows.get(key);
  if (!item) {
    item = document.createElement("li");
    item.dataset.job = job.id;
    const what = document.createElement("div");
    what.className = "what";
    const acts = document.createElement("div");
    acts.className = "acts";
    acts.append(...BUTTONS[buttons].map((b) => button(job.id, b, job.title)));
    item.append(what, acts);
    rows.set(key, item);
  }
  if (item.dataset.words !== words) {
    item.dataset.words = words;
    item.className = job.verdict || "";
    const small = [job.size, job.starts].filter(Boolean).join(" · ");
    const why = job.verdict ? headroomText(CLOSED[job.verdict], { why: job.why }) : job.why;
    const title = line("title", job.title);
    title.translate = job.kind === "probe"; // a prompt is its author's words
    item.firstElementChild.replaceChildren(title, line("small", small), line("small why", why));
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
  const held = element.contains(document.activeElement) && document.activeElement.closest("li");
  const list = held && held.parentElement;
  const place = held && [...list.children].indexOf(held);
  const here = new Set([...waiting.map((j) => `${j.kind}-${j.id}`), ...ended.map((j) => `ended-${j.id}`)]);
  for (const key of rows.keys()) if (!here.has(key)) rows.delete(key);
  fill(part("waiting"), waiting.map((job) => row(job, job.kind)));
  fill(part("ended"), ended.map((job) => row(job, "ended")));
  part("head").textContent = waiting.length ? headroomText("script.jobs_waiting", { n: waiting.length + more }) : "";
  part("head").parentElement.hidden = waiting.length === 0;
  part("more").textContent = more ? headroomText("script.jobs_more", { n: more }) : "";
  part("more").hidden = !more;
  part("ended-head").hidden = ended.length === 0;
  element.querySelector(".queue").hidden = waiting.length + ended.length === 0;
  if (!held || held.isConnected) return;
  // Its row is gone, and its focus with it. Not onto the next row's button: a second press would
  // remove that one as well.
  const next = list.children[place] || list.lastElementChild || element.querySelector("li");
  if (next) { next.tabIndex = -1; next.focus(); }
};
element.querySelectorAll(".queue-head button").forEach((made) => { made.onclick = () => press(made.dataset.do); });
window.addEventListener("headroom-queue", draw);
draw();
