// Draws what /live sends. Text is only ever set with textContent: nothing from outside is markup.
const all = (name) => document.querySelectorAll(`[data-live="${name}"]`);
const text = (name, value) => all(name).forEach((node) => {
  if (node.textContent !== value) node.textContent = value;
  node.hidden = value === "";
});

const draw = {
  running: (on) => document.querySelectorAll(".live-panel").forEach((p) => p.classList.toggle("running", on)),
  fraction: (value) => all("bar").forEach((bar) => {
    bar.setAttribute("aria-valuenow", Math.round(value * 100));
    bar.firstElementChild.style.width = `${value * 100}%`;
  }),
  preview: (source) => all("preview").forEach((image) => {
    image.hidden = source === "";
    if (source === "") image.removeAttribute("src"); else image.src = source;
  }),
  outcome_kind: (kind) => all("outcome").forEach((node) => { node.dataset.kind = kind; }),
  engine_state: (state) => document.querySelectorAll(".live-panel").forEach((p) => { p.dataset.engine = state; }),
  memory_others: (share) => all("memory-others").forEach((node) => { node.style.width = `${share * 100}%`; }),
  memory_engine: (share) => all("memory-engine").forEach((node) => { node.style.width = `${share * 100}%`; }),
  queue: (prompts) => all("queue").forEach((list) => {
    list.replaceChildren(...prompts.map((prompt) => {
      const item = document.createElement("li");
      item.textContent = prompt;
      return item;
    }));
    list.parentElement.hidden = prompts.length === 0;
  }),
};

let ended = null;
const receive = (state) => {
  for (const [name, value] of Object.entries(state)) {
    if (name === "ended") continue;
    (draw[name] || ((v) => text(name, v)))(value);
  }
  if ("ended" in state) {
    // The first value is what the page was built with; a later one means that a job has ended.
    if (ended !== null && ended !== state.ended) trigger("change");
    ended = state.ended;
  }
};

const connect = () => {
  const source = new EventSource("live");
  source.onopen = () => text("offline", "");
  source.onmessage = (event) => receive(JSON.parse(event.data));
  source.onerror = () => {
    text("offline", "The page has lost the program. It reconnects by itself once Headroom runs again.");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
  // A browser has six connections a host: one that a closed tab still holds would be missed.
  window.addEventListener("pagehide", () => source.close());
};
connect();
