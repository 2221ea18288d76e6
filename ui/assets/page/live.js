// Draws what /live sends. Text is only ever set with textContent: nothing from outside is markup.
const all = (name) => document.querySelectorAll(`[data-live="${name}"]`);
const text = (name, value) => all(name).forEach((node) => {
  if (node.textContent !== value) node.textContent = value;
  node.hidden = value === "";
});

const draw = {
  running: (on) => {
    document.querySelectorAll(".live-panel").forEach((p) => p.classList.toggle("running", on));
    if (on) all("preview").forEach((image) => { image.hidden = true; image.removeAttribute("src"); });
  },
  fraction: (value) => all("bar").forEach((bar) => {
    bar.setAttribute("aria-valuenow", Math.round(value * 100));
    bar.firstElementChild.style.width = `${value * 100}%`;
  }),
  // The last one stays while the clip that it became is loaded (stage.js).
  preview: (source) => all("preview").forEach((image) => {
    if (source === "") return;
    image.src = source;
    image.hidden = false;
    // A colour for each 8 × 8 pixels is easier on the eye unsharp; a picture isn't.
    image.onload = () => image.classList.toggle("rough", image.naturalHeight < 160);
  }),
  // A prompt is its author's words, in whatever language the page is.
  title_kind: (kind) => all("title").forEach((node) => { node.translate = kind === "probe"; }),
  outcome_kind: (kind) => all("outcome").forEach((node) => { node.dataset.kind = kind; }),
  engine_state: (state) => document.querySelectorAll(".live-panel").forEach((p) => { p.dataset.engine = state; }),
  meter: (m) => all("meter").forEach((node) => {
    node.setAttribute("aria-valuenow", Math.round((m.ours + m.others) * 100));
    node.setAttribute("aria-valuetext", m.text);
    for (const part of ["ours", "others"]) node.querySelector(`.${part}`).style.width = `${m[part] * 100}%`;
    for (const mark of ["budget", "peak"]) {
      const tick = node.querySelector(`.${mark}`);
      tick.hidden = m[mark] === null;
      tick.style.left = `${(m[mark] || 0) * 100}%`;
    }
  }),
  cards: (cards) => all("cards").forEach((list) => {
    list.hidden = cards.length === 0;
    list.replaceChildren(...cards.map((card) => {
      const item = document.createElement("li");
      const words = ["name", "use", "state"].map((part) => {
        const node = document.createElement("span");
        node.className = part;
        node.textContent = card[part];
        return node;
      });
      const meter = document.createElement("div");
      meter.className = "meter";
      for (const part of ["ours", "others"]) {
        const bar = document.createElement("span");
        bar.className = part;
        bar.style.width = `${card[part] * 100}%`;
        meter.append(bar);
      }
      item.append(...words, meter);
      return item;
    }));
  }),
  ram: (share) => all("ram").forEach((node) => {
    node.parentElement.hidden = share === null;
    node.setAttribute("aria-valuenow", Math.round((share || 0) * 100));
    node.firstElementChild.style.width = `${(share || 0) * 100}%`;
  }),
  spark: (points) => all("spark").forEach((svg) => {
    const line = points.map((p, x) => (p === null ? null : `${x},${(20 - p * 20).toFixed(1)}`));
    svg.firstElementChild.setAttribute("points", line.filter(Boolean).join(" "));
  }),
  queue: (state) => {
    // Another component draws it; it may be there before or after this one.
    window.headroomQueue = state;
    window.dispatchEvent(new Event("headroom-queue"));
  },
  "share-visitors": (lines) => all("share-visitors").forEach((list) => {
    list.replaceChildren(...lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
  }),
  "pull-head": (pull) => document.querySelectorAll(".pull-head").forEach((node) => {
    node.hidden = !pull;
    text("pull-head", pull ? pull.text : "");
    node.querySelector(".pull-bar > span").style.width = `${(pull ? pull.fraction : 0) * 100}%`;
  }),
  pulls: (running) => document.querySelectorAll("[data-pull]").forEach((card) => {
    const pull = running[card.dataset.pull];
    card.hidden = !pull;
    if (!pull) return;
    const bar = card.querySelector(".progress");
    bar.setAttribute("aria-valuenow", Math.round(pull.fraction * 100));
    bar.firstElementChild.style.width = `${pull.fraction * 100}%`;
    card.querySelector(".told").textContent = pull.text;
    card.querySelector(".files").replaceChildren(...pull.files.map((told) => {
      const item = document.createElement("li");
      item.textContent = told;
      return item;
    }));
  }),
};

// For parts that come later: Gradio makes a tab's when it is first opened.
const seen = {};
window.headroomLive = seen;
const show = (state) => {
  for (const [name, value] of Object.entries(state)) {
    if (["ended", "others", "weights", "packages", "paused"].includes(name)) continue;
    (draw[name] || ((v) => text(name, v)))(value);
  }
};
window.addEventListener("headroom-part", () => show(seen));

let ended = null;
let weights = null;
let packages = null;
// What the truth is derived from, as it was asked last: the queue, and the shares of memory.
let held = null;
const SOON = 600; // at most once a second
const LATE = 10000; // for what drifts, as memory always does: seconds of every open page aren't free
const LEAPT = 0.02; // of all memory: a third of a GB of 16
const DRIFTED = 1 / 160; // as finely as it is told
let due = 0;
let dueAt = Infinity;
const renew = (wait) => {
  if (dueAt <= performance.now() + wait) return;
  clearTimeout(due);
  dueAt = performance.now() + wait;
  due = setTimeout(() => {
    dueAt = Infinity;
    held = derived();
    if (document.hidden) held = null; // only for somebody who looks
    else trigger("release");
  }, wait);
};
const derived = () => ({
  queue: [seen.running, seen.queue?.waiting.length, seen.queue?.more].join(),
  memory: [seen.meter?.others || 0, seen.meter?.budget || 0, seen.ram || 0],
});
const judgeAnew = () => {
  const now = derived();
  if (held === null) return renew(SOON);
  const moved = Math.max(...now.memory.map((share, i) => Math.abs(share - held.memory[i])));
  if (now.queue !== held.queue || moved >= LEAPT) renew(SOON);
  else if (moved >= DRIFTED) renew(LATE);
};
document.addEventListener("visibilitychange", () => { if (!document.hidden && held === null) renew(SOON); });
// Of several clips that are made at once the stage shows the one whose tile was pressed, else the
// one that began first, which has the state's own keys.
const RUN = ["title", "job", "title_kind", "stage", "left", "fraction", "preview", "lane"];
const sent = {};
let chosen = "";
const ofTheShown = (state) => {
  Object.assign(sent, state);
  const run = sent.others?.find(({ job }) => job === chosen) ?? sent;
  const told = { ...state };
  for (const key of RUN) {
    delete told[key];
    if (run[key] !== undefined && run[key] !== seen[key]) told[key] = run[key];
  }
  return told;
};
window.addEventListener("headroom-show", ({ detail }) => {
  if (detail.job === undefined || detail.job === chosen) return;
  chosen = detail.job;
  draw.running(true); // the other clip's preview goes
  receive({});
});
const receive = (all) => {
  const state = ofTheShown(all);
  Object.assign(seen, state);
  show(state);
  if (["running", "others", ...RUN].some((key) => key in all)) {
    window.headroomMade = sent.running ? [sent, ...(sent.others ?? [])] : []; // strip.js draws them
    window.dispatchEvent(new Event("headroom-making"));
  }
  window.dispatchEvent(new CustomEvent("headroom-live", { detail: state })); // desk.js listens
  if ("weights" in state) {
    // Likewise: work on weights has begun or ended, so the cards and their buttons are others now.
    if (weights !== null && weights !== state.weights) trigger("tick");
    weights = state.weights;
  }
  if ("packages" in state) {
    // What makes clips has come, or couldn't: verdicts, models and cards are others now.
    if (packages !== null && packages !== state.packages) { trigger("tick"); trigger("change"); }
    packages = state.packages;
  }
  judgeAnew();
  if ("ended" in state) {
    // The first value is what the page was built with; a later one means that a job has ended.
    if (ended !== null && ended !== state.ended) {
      trigger("change");
      document.dispatchEvent(new Event("headroom-ended")); // library.js listens
    }
    ended = state.ended;
  }
};

const LOST = { program: "script.lost_program", login: "script.login_ended" };
const told = ({ lost, state }) => {
  if (lost !== undefined) text("offline", lost && headroomText(LOST[lost]));
  if (state !== undefined) receive(state);
};

// The stream is kept by a worker that all tabs share (live-feed.js says why), where there is one.
const feed = new URL("live-feed.js", document.baseURI).href;
let leave = () => {};
let turn = 0; // a page that was left and came back meanwhile has another connection by now
const connect = () => {
  const mine = ++turn;
  const alone = () => import(feed).then(
    ({ follow }) => { if (mine === turn) leave = follow(told); },
    () => { told({ lost: "program" }); setTimeout(() => { if (mine === turn) connect(); }, 2000); },
  );
  try {
    // Its words come in one language: a tab of another one has a worker of its own.
    const worker = new SharedWorker(feed, { type: "module", name: `headroom-${headroomLanguage}` });
    worker.onerror = alone; // this browser knows no modules there, or got none
    worker.port.onmessage = (event) => told(event.data);
    leave = () => { worker.port.postMessage("bye"); worker.port.close(); };
  } catch {
    alone(); // no such thing here, or it is forbidden
  }
};
window.addEventListener("pagehide", () => { turn += 1; leave(); });
// Whoever goes back gets the page as it was left, without anything that it had open.
window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
connect();
