// What a daily tool does besides: the tab's title, word when a clip is done while nobody
// looks, and a typed prompt that a reload doesn't take away. live.js sends "headroom-live" with what has changed.
const NAME = "Headroom";
const { watched, tell, ask } = headroomNotify; // notify.js
const seen = { running: false, fraction: 0, title: "", outcome: "", outcome_kind: "", waiting: 0 };
let done = false; // something ended that nobody has looked at yet

const show = () => {
  const mark = seen.outcome_kind === "bad" ? "✗" : "✓";
  const percent = `${Math.round(seen.fraction * 100)} %`;
  const title = seen.running ? `${percent} ${NAME}` : done ? `${mark} ${NAME}` : NAME;
  if (document.title !== title) document.title = title;
};

let last = "";
window.addEventListener("headroom-live", ({ detail }) => {
  const before = seen.running;
  for (const key of Object.keys(seen)) if (key in detail) seen[key] = detail[key];
  if ("queue" in detail) seen.waiting = detail.queue.waiting.length;
  if (seen.running) { last = seen.title; done = false; }
  // Of a batch, only the end of all of it.
  if (before && !seen.running && seen.waiting === 0) {
    done = !watched();
    if (seen.outcome_kind) tell(seen.outcome, { body: last, tag: "headroom" });
  }
  show();
});
for (const name of ["focus", "visibilitychange"]) {
  window.addEventListener(name, () => { if (watched()) { done = false; show(); } }, true);
}

// Who asked the system for less motion presses Play.
let pressed = -Infinity;
const within = (node) => node.closest?.("#clip");
for (const name of ["pointerdown", "keydown"]) {
  document.addEventListener(name, (event) => { if (within(event.target)) pressed = performance.now(); }, true);
}
document.addEventListener("play", ({ target }) => {
  if (!within(target) || !matchMedia("(prefers-reduced-motion:reduce)").matches) return;
  if (performance.now() - pressed > 1000) target.pause(); // nobody asked for it
}, true);

document.addEventListener("click", (event) => {
  if (event.target.closest?.("#generate")) ask();
}, true);

// Gradio loads the page anew by itself once a program that was gone is back.
const DRAFT = "headroom-prompt";
const field = () => document.querySelector("#prompt textarea");
const kept = (act) => { try { return act(sessionStorage); } catch { return null; } };
const keep = () => kept((store) => { if (field()) store.setItem(DRAFT, field().value); });
document.addEventListener("input", ({ target }) => { if (target === field()) keep(); }, true);
window.addEventListener("pagehide", keep); // an idea, say, came without anybody's typing
const bring = (tries) => {
  const [empty, draft] = [field(), kept((store) => store.getItem(DRAFT))];
  if (!draft || empty?.value) return;
  if (!empty) { if (tries) setTimeout(bring, 100, tries - 1); return; }
  empty.value = draft;
  empty.dispatchEvent(new Event("input", { bubbles: true }));
};
bring(100);
