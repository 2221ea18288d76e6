// Light, dark, or as the system has it: kept by this browser, and set before anything is drawn.
// Gradio's own way (?__theme) forgets at the next visit and needs the page loaded anew.
(() => {
  const KEY = "headroom-theme";
  const CHOICES = ["system", "light", "dark"];
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const known = (value) => (CHOICES.includes(value) ? value : "system");
  const kept = () => { try { return known(localStorage.getItem(KEY)); } catch { return "system"; } };
  let choice = kept();

  const apply = () => {
    const dark = choice === "dark" || (choice === "system" && system.matches);
    root.dataset.themeChoice = choice; // which of a switch's three names is shown (theme.css)
    root.dataset.theme = dark ? "dark" : "light";
    root.style.colorScheme = root.dataset.theme;
    document.body?.classList.toggle("dark", dark); // what Gradio's styles go by
  };
  const choose = (next) => {
    choice = next;
    try { localStorage.setItem(KEY, next); } catch { /* a browser that keeps nothing */ }
    apply();
  };
  apply();
  system.addEventListener("change", apply);
  window.addEventListener("storage", ({ key }) => { if (key === KEY || key === null) { choice = kept(); apply(); } });

  // Gradio sets the class by itself when it starts, and whenever the system changes.
  const hold = () => {
    apply();
    new MutationObserver(apply).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  };
  if (document.body) hold();
  else {
    const awaited = new MutationObserver(() => {
      if (!document.body) return;
      awaited.disconnect();
      hold();
    });
    awaited.observe(root, { childList: true });
  }

  document.addEventListener("click", ({ target }) => {
    if (target.closest?.("[data-theme-switch]")) choose(CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length]);
  });
})();
