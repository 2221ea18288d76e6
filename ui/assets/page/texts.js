// In which language the page is, and its words. Most of them the program makes itself, in the language
// that is settled here. What the page is built with is English, and changed for Chinese where a whole
// text stands in the table; what scripts say is made by `headroomText`. Until the Chinese table is
// here, and where it never comes, both are English.
(() => {
  const KNOWN = ["zh", "en"];
  const language = () => {
    let kept = null;
    try {
      const asked = new URLSearchParams(location.search).get("lang");
      if (KNOWN.includes(asked)) localStorage.setItem("headroom-lang", asked);
      kept = localStorage.getItem("headroom-lang");
    } catch { /* a browser that keeps nothing */ }
    const wanted = [kept, ...(navigator.languages || [navigator.language])];
    return wanted.map((tag) => String(tag).slice(0, 2).toLowerCase()).find((tag) => KNOWN.includes(tag)) || "en";
  };
  window.headroomLanguage = language();
  // The program hears of it by this (ui/wording.py). Not by what a browser accepts: that may be less
  // than it tells a page, and the worker that listens to /live need not ask for the same.
  document.cookie = `headroom-lang=${window.headroomLanguage}; path=/; max-age=31536000; SameSite=Lax`;

  // ---- what scripts say ---------------------------------------------------------------------

  const ENGLISH = window.headroomEnglish; // ui/server/texts.py puts it before this script
  let table = ENGLISH;
  let early = window.headroomLanguage === "zh" ? [] : null; // said before the Chinese table came
  const filled = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  window.headroomText = (id, values = {}) => {
    early?.push([id, values]);
    return filled(table[id], values);
  };
  if (window.headroomLanguage !== "zh") return;

  // ---- what the page is built with ----------------------------------------------------------

  const exact = new Map();
  const flat = (text) => text.replace(/\s+/g, " ").trim();
  const CLOSED = /[、。！，：；？）”…]$/; // they need no space behind them
  const changed = (text) => {
    const said = exact.get(flat(text));
    if (said === undefined) return text;
    return (/^\s/.test(text) ? " " : "") + said + (/\s$/.test(text) && !CLOSED.test(said) ? " " : "");
  };

  const ATTRIBUTES = ["placeholder", "title", "aria-label", "aria-valuetext", "alt"];
  const spared = (element) => {
    const near = element?.closest("[translate], .notranslate, script, style, code, pre, textarea");
    return Boolean(near) && (!near.hasAttribute("translate") || near.getAttribute("translate") === "no");
  };
  const writeText = (node) => {
    const said = changed(node.data);
    if (said !== node.data && !spared(node.parentElement)) node.data = said;
  };
  const writeAttribute = (element, name) => {
    const now = element.getAttribute(name);
    const said = now && changed(now);
    // A textarea's own words are left, what stands around them isn't.
    if (said !== now && !spared(element.tagName === "TEXTAREA" ? element.parentElement : element)) {
      element.setAttribute(name, said);
    }
  };

  // A list that can't be typed into shows its choice as an input's value. Whoever reads that value
  // gets what was written; only the eye gets the Chinese.
  const native = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  const showChoice = (input) => {
    if (Object.hasOwn(input, "value") || spared(input)) return;
    let written = native.get.call(input);
    Object.defineProperty(input, "value", {
      configurable: true,
      get: () => written,
      set: (value) => { written = value ?? ""; native.set.call(input, changed(String(written))); },
    });
    input.value = written;
  };

  const visit = (node) => {
    if (node.nodeType === Node.TEXT_NODE) { writeText(node); return; }
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let at = node; at; at = walker.nextNode()) {
      if (at.nodeType === Node.TEXT_NODE) { writeText(at); continue; }
      for (const name of ATTRIBUTES) if (at.hasAttribute(name)) writeAttribute(at, name);
      if (at.matches("input[readonly][role=combobox]")) showChoice(at);
    }
  };
  const watch = () => {
    visit(document.documentElement);
    // Its callback comes before the browser paints: no English is seen in between.
    const observer = new MutationObserver((records) => {
      for (const record of records) {
        if (record.type === "childList") record.addedNodes.forEach(visit);
        else if (record.type === "characterData") writeText(record.target);
        else writeAttribute(record.target, record.attributeName);
      }
      observer.takeRecords(); // its own writing
    });
    observer.observe(document.documentElement, {
      childList: true, characterData: true, subtree: true, attributes: true, attributeFilter: ATTRIBUTES,
    });
  };

  fetch(new URL("texts/zh.json", document.baseURI)).then(async (answer) => {
    if (!answer.ok) return;
    const told = await answer.json();
    table = told.scripts;
    for (const [english, chinese] of Object.entries(told.static)) exact.set(english, chinese);
    for (const [id, values] of early) exact.set(flat(filled(ENGLISH[id], values)), filled(table[id], values));
    document.documentElement.lang = "zh-CN";
    watch();
  }).catch(() => {}).finally(() => { early = null; }); // the program's absence is told elsewhere
})();
