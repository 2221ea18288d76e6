// Shows the page once all of its first tab is mounted; early.css hides it until then. Where something
// fails, what there is is shown as soon as nothing has been mounted for GIVEN_UP_MS.
(() => {
  const MOUNTED = "#generate, input[type=password]"; // the page, or the login's
  const STILL_MS = 100; // in which nothing was mounted
  const MOST_MS = 2000; // after the form is there, if something else is never still
  const BEGUN = ".block"; // a part of either
  const LONGEST_MS = 5000; // after the first part, if the last one never comes and others change
  const GIVEN_UP_MS = 3000;
  const root = document.documentElement;
  let timer = 0;
  let last = 0;
  let longest = 0;
  const show = () => {
    mounting.disconnect();
    clearTimeout(timer);
    clearTimeout(last);
    clearTimeout(longest);
    root.dataset.drawn = "";
  };
  const wait = () => {
    clearTimeout(timer);
    const mounted = document.querySelector(MOUNTED) !== null;
    if (mounted) last ||= setTimeout(show, MOST_MS);
    if (document.querySelector(BEGUN)) longest ||= setTimeout(show, LONGEST_MS);
    timer = setTimeout(show, mounted ? STILL_MS : GIVEN_UP_MS);
  };
  const mounting = new MutationObserver(wait);
  const begin = () => {
    mounting.observe(root, { childList: true, subtree: true });
    wait();
  };
  // What the parser adds is nobody's mounting, and looking at all of it takes time before Gradio's scripts.
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
