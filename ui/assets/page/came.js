// A download that ended well is told where nobody looks, if the browser may.
let last = null; // when the last one came, in seconds; the first value is no news

window.addEventListener("headroom-live", ({ detail }) => {
  if (!("came" in detail)) return;
  const came = detail.came || { at: 0 };
  const news = last !== null && came.at > last;
  last = Math.max(last ?? 0, came.at);
  if (news) headroomNotify.tell(came.text, { tag: `headroom-${came.model}` });
});
if (window.headroomLive && "came" in window.headroomLive) last = window.headroomLive.came.at ?? 0;

// Whoever downloads for minutes is about to look away.
document.addEventListener("click", (event) => {
  if (event.target.closest?.('#first-run-act, [id^="fetch-"]')) headroomNotify.ask();
}, true);
