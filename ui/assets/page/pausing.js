// Shows the buttons that fit to what live.js received; they call the page's process by name.
const told = element.querySelector("[data-pausing=told]");
const buttons = Object.fromEntries([...element.querySelectorAll("button")].map((b) => [b.dataset.do, b]));
const say = (text) => {
  told.textContent = text;
  told.hidden = text === "";
};
const draw = () => {
  const { paused, running } = window.headroomLive ?? {};
  if (paused === undefined || !element.isConnected) return;
  const wanted = { pause: !paused, now: running, resume: paused };
  const had = document.activeElement;
  for (const [name, button] of Object.entries(buttons)) button.hidden = !wanted[name];
  // Whoever pressed a button that is gone now finds its opposite there.
  if (had?.hidden && element.contains(had)) buttons[paused ? "resume" : "pause"].focus();
};
for (const [name, button] of Object.entries(buttons)) {
  button.onclick = async () => {
    try {
      say(await server.pressed(name));
    } catch {
      say(headroomText("script.unreached"));
    }
  };
}
window.addEventListener("headroom-live", ({ detail }) => {
  if ("paused" in detail || "running" in detail) draw();
});
draw();
