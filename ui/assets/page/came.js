// A download that ended well is told where nobody looks, if the browser may.
const ASKED = "headroom-asked-to-notify"; // desk.js asks by the same key, once for both
let last = null; // when the last one came, in seconds; the first value is no news

window.addEventListener("headroom-live", ({ detail }) => {
  if (!("came" in detail)) return;
  const came = detail.came || { at: 0 };
  const news = last !== null && came.at > last;
  last = Math.max(last ?? 0, came.at);
  if (!news || (!document.hidden && document.hasFocus())) return;
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  const told = new Notification(came.text, { tag: `headroom-${came.model}` });
  told.onclick = () => { window.focus(); told.close(); };
});
if (window.headroomLive && "came" in window.headroomLive) last = window.headroomLive.came.at ?? 0;

// Browsers want a press for this question, and whoever downloads for minutes is about to look away.
document.addEventListener("click", (event) => {
  if (!event.target.closest?.('#first-run-act, [id^="fetch-"]')) return;
  if (!("Notification" in window) || Notification.permission !== "default") return;
  try {
    if (localStorage.getItem(ASKED)) return;
    localStorage.setItem(ASKED, "1");
  } catch { return; } // where nothing can be kept it would be asked each time
  Notification.requestPermission();
}, true);
