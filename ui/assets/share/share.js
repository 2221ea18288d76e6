// Gradio makes this tab when it is first opened, and the stream tells only what changes: live.js
// draws what it has heard until now.
window.dispatchEvent(new Event("headroom-part"));

// A share that ends by its time, or from another tab, takes its address and password along.
let shared = Boolean(window.headroomLive?.["share-text"]);
window.addEventListener("headroom-live", ({ detail }) => {
  if (!("share-text" in detail)) return;
  if (shared && detail["share-text"] === "" && element.isConnected) trigger("change");
  shared = detail["share-text"] !== "";
});
