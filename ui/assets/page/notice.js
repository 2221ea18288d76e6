// Shows the engine's notice while there is one; its words are set by live.js, as all of the stream's.
const line = element.querySelector(".notice-line");
const button = line.querySelector("button");
const seen = { notice: "", notice_at: 0 };
const draw = (state) => {
  for (const name of Object.keys(seen)) if (name in state) seen[name] = state[name];
  line.hidden = seen.notice === "";
  button.hidden = seen.notice_at === 0; // what goes wrong now ends by itself
};
// The stream may have come first.
draw(window.headroomLive ?? {});
window.addEventListener("headroom-live", ({ detail }) => draw(detail));
button.onclick = () => {
  const at = seen.notice_at;
  draw({ notice: "" });
  // Where the program is gone the page says so by itself, and the notice with it.
  server.read(at).catch(() => draw(window.headroomLive ?? {}));
};
