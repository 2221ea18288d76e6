// Word by the system for somebody who doesn't look at the page: desk.js and came.js have what to say.
const ASKED = "headroom-asked-to-notify";
const can = (permission) => "Notification" in window && Notification.permission === permission;

window.headroomNotify = {
  watched: () => !document.hidden && document.hasFocus(),
  tell: (title, options) => {
    if (headroomNotify.watched() || !can("granted")) return;
    const told = new Notification(title, options);
    told.onclick = () => { window.focus(); told.close(); };
  },
  // Browsers want a press for this question; after the first one it isn't asked again.
  ask: () => {
    if (!can("default")) return;
    try {
      if (localStorage.getItem(ASKED)) return;
      localStorage.setItem(ASKED, "1");
    } catch { return; } // where nothing can be kept it would be asked each time
    Notification.requestPermission();
  },
};
