// Shows the page in Chinese where the browser asks for that. The program speaks English; what it
// says is looked up in the catalogue (ui/texts/zh) and only ever set as text. Without a catalogue
// the page stays English.
(() => {
  const KNOWN = ["zh", "en"];
  const language = () => {
    let kept = null;
    try {
      const asked = new URLSearchParams(location.search).get("lang");
      if (KNOWN.includes(asked)) localStorage.setItem("headroom-lang", asked);
      kept = localStorage.getItem("headroom-lang");
    } catch { /* a browser that keeps nothing */ }
    // The program makes most words itself, in this language where somebody chose one.
    if (KNOWN.includes(kept)) document.cookie = `headroom-lang=${kept}; path=/; max-age=31536000; SameSite=Lax`;
    const wanted = [kept, ...(navigator.languages || [navigator.language])];
    return wanted.map((tag) => String(tag).slice(0, 2).toLowerCase()).find((tag) => KNOWN.includes(tag));
  };
  // For what isn't in the document, such as a notification.
  window.headroomText = (text) => text;
  if (language() !== "zh") return;

  // ---- the catalogue ------------------------------------------------------------------------

  const exact = new Map();
  const byStart = new Map(); // templates by their first literal word, "" where a value comes first
  const memo = new Map();
  const MOST = 3000; // texts that are remembered
  const LONGEST = 1500; // signs; nothing that is a sentence has more
  const flat = (text) => text.replace(/\s+/g, " ").trim();
  const firstWord = (text) => /^\S*/.exec(text)[0].toLowerCase();

  const learn = ({ texts, verbatim }) => {
    const asItIs = new Set(verbatim);
    for (const [english, chinese] of Object.entries(texts)) {
      const parts = english.split(/\{(\w+)\}/); // literal, name, literal, name, …, literal
      if (parts.length === 1) { exact.set(english, chinese); continue; }
      const names = parts.filter((_, at) => at % 2);
      const literals = parts.filter((_, at) => at % 2 === 0);
      const group = (name, lazy) => (/^n\d*$/.test(name) ? "([\\d.,]+)" : lazy ? "(.*?)" : "(.*)");
      const pattern = (lazy) => new RegExp(`^${parts.map((part, at) => (
        at % 2 ? group(part, lazy) : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))).join("")}$`, "i"); // sentences are capitalised here and there
      // A first word that ends with a value is no whole word.
      const start = / /.test(literals[0]) ? firstWord(literals[0]) : "";
      const made = {
        patterns: [pattern(true), pattern(false)], names, chinese, asItIs,
        size: literals.join("").length,
        longest: literals.reduce((a, b) => (b.length > a.length ? b : a)).toLowerCase(),
      };
      if (!byStart.has(start)) byStart.set(start, []);
      byStart.get(start).push(made);
    }
    for (const list of byStart.values()) list.sort((a, b) => b.size - a.size);
  };

  // ---- reading a text: the way that leaves the fewest English words --------------------------

  const CJK = /[\u3000-\u9fff\uff00-\uffef]/;
  const CLOSED = /[\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f\uff09\u201d\u2026]$/;
  const WORD = /[A-Za-z]*[a-z]{2,}|\b[sh]\b/g;
  const count = (text) => (text.match(WORD) || []).length;
  const WHOLE = new Set(["why", "said", "more", "reason", "summary"]); // values that are sentences
  const WIDE = { ", ": "，", "; ": "；", ": ": "：" };

  const fill = (template, captured) => {
    let cost = template.size < 5 ? 0.3 : 0.05;
    const values = {};
    template.names.forEach((name, at) => {
      const value = captured[at + 1];
      // A value that goes on into the next sentence is one that was read wrongly.
      if (!WHOLE.has(name) && /[.!?]\s+[A-Z]/.test(value)) cost += 50;
      if (template.asItIs.has(name)) {
        values[name] = value;
        // "{file} in {folder}" would fit nearly anything.
        cost += count(value) * (template.size < 5 ? 5 : 0.2);
      } else {
        const read = value ? reading(value.trim()) : { text: "", cost: 0 };
        values[name] = read.text;
        cost += read.cost;
      }
    });
    return { text: template.chinese.replace(/\{(\w+)\}/g, (_, name) => values[name]), cost };
  };

  const byTemplate = (text) => {
    let best = null;
    const small = text.toLowerCase();
    for (const start of new Set([firstWord(text), ""])) {
      for (const template of byStart.get(start) || []) {
        if (!small.includes(template.longest)) continue;
        for (const pattern of template.patterns) {
          const captured = pattern.exec(text);
          if (!captured) break;
          const filled = fill(template, captured);
          if (!best || filled.cost < best.cost) best = filled;
          if (filled.cost <= 1) break;
        }
      }
    }
    return best;
  };

  const joined = (left, sign, right) => {
    const wide = CJK.test(left) || CJK.test(right);
    if (sign === " ") return left + (CLOSED.test(left) ? "" : " ") + right;
    return left + (wide && WIDE[sign] ? WIDE[sign] : sign) + right;
  };

  const cutAt = (text, signs, best) => {
    for (const cut of text.matchAll(signs)) {
      const kept = /^[.!?…]/.test(cut[0]) ? 1 : 0; // a sentence keeps its end
      const left = text.slice(0, cut.index + kept);
      const right = text.slice(cut.index + cut[0].length);
      if (!left.trim() || !right.trim()) continue;
      const one = reading(left);
      if (one.cost + 0.5 >= best.cost) continue;
      const other = reading(right);
      let cost = one.cost + other.cost + 0.5;
      if (cost < best.cost) best = { text: joined(one.text, kept ? " " : cut[0], other.text), cost };
      const sign = cut[0].trim();
      if (kept || !(byStart.has(sign) || exact.has(sign + text.slice(cut.index + sign.length)))) continue;
      const tail = reading(text.slice(cut.index).trim()); // ", budget 21.2 GB"
      cost = one.cost + tail.cost;
      if (cost < best.cost && !tail.text.startsWith(sign)) best = { text: one.text + tail.text, cost };
    }
    return best;
  };

  const bracketed = (text, best) => {
    const found = /^(.+?) \((.+)\)([.,;:]?)$/.exec(text);
    if (!found) return best;
    const one = reading(found[1] + found[3]), other = reading(found[2]);
    const cost = one.cost + other.cost + 0.5;
    if (cost >= best.cost) return best;
    if (!CJK.test(one.text + other.text)) return { text, cost };
    const end = /[。，；：]$/.exec(one.text)?.[0] || "";
    return { text: `${one.text.slice(0, one.text.length - end.length)}（${other.text}）${end}`, cost };
  };

  const known = (text) => {
    const small = text.charAt(0).toLowerCase() + text.slice(1);
    const great = text.charAt(0).toUpperCase() + text.slice(1);
    return exact.get(text) ?? exact.get(small) ?? exact.get(great);
  };

  const read = (text) => {
    if (!/[A-Za-z]/.test(text)) return { text, cost: 0 };
    if (exact.has(text)) return { text: exact.get(text), cost: 0 };
    const near = known(text);
    if (near !== undefined) return { text: near, cost: 0.1 };
    if (text.endsWith(".") && known(text.slice(0, -1)) !== undefined) {
      return { text: `${known(text.slice(0, -1))}。`, cost: 0.2 };
    }
    let best = { text, cost: 10 * count(text) || 0.1 };
    const filled = byTemplate(text);
    if (filled && filled.cost < best.cost) best = filled;
    if (best.cost > 1) best = cutAt(text, /[.!?…]\s+/g, best);
    if (best.cost > 1) best = bracketed(text, best);
    if (best.cost > 1) {
      // Half a sentence in each language is worse than one in English.
      const cut = cutAt(text, /, |; |: | · | – /g, best);
      if (cut.cost <= 5 * count(text)) best = cut;
    }
    return best;
  };

  const reading = (text) => {
    let found = memo.get(text);
    if (!found) {
      if (memo.size > MOST) memo.clear();
      memo.set(text, found = read(text));
    }
    return found;
  };

  // `lines`: where they are seen as such, each is a text.
  const translated = (text, lines = false) => {
    if (lines) return text.split("\n").map((line) => translated(line)).join("\n");
    const inner = flat(text);
    if (!inner || inner.length > LONGEST) return text;
    const { text: said } = reading(inner);
    if (said === inner) return text;
    const before = /^\s/.test(text) ? " " : "";
    const after = /\s$/.test(text) && !CLOSED.test(said) ? " " : "";
    return before + said + after;
  };

  // ---- the document -------------------------------------------------------------------------

  const ATTRIBUTES = ["placeholder", "title", "aria-label", "aria-valuetext", "alt"];
  const OTHERS = "script, style, code, pre, textarea";
  const shown = new WeakMap(); // what was written into a text node, or into an element's attributes

  const spared = (element) => {
    const near = element?.closest(`[translate], .notranslate, ${OTHERS}`);
    if (!near) return false;
    return near.hasAttribute("translate") ? near.getAttribute("translate") === "no" : true;
  };

  const writeText = (node) => {
    const now = node.data;
    if (!/[A-Za-z]/.test(now) || shown.get(node) === now || spared(node.parentElement)) return;
    const said = translated(now, /\n/.test(now) && getComputedStyle(node.parentElement).whiteSpace.startsWith("pre"));
    shown.set(node, said);
    if (said !== now) node.data = said;
  };

  const writeAttribute = (element, name) => {
    const now = element.getAttribute(name);
    if (!now || !/[A-Za-z]/.test(now)) return;
    // A textarea's own words are left, what stands around them isn't.
    if (element.tagName === "TEXTAREA" ? spared(element.parentElement) : spared(element)) return;
    const mine = shown.get(element) || {};
    if (mine[name] === now) return;
    mine[name] = translated(now);
    shown.set(element, mine);
    if (mine[name] !== now) element.setAttribute(name, mine[name]);
  };

  // A list that can't be typed into shows its choice as an input's value. Whoever reads that value
  // gets what was written; only the eye gets the translation.
  const native = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  const showChoice = (input) => {
    if (Object.hasOwn(input, "value") || spared(input)) return;
    let written = native.get.call(input);
    Object.defineProperty(input, "value", {
      configurable: true,
      get: () => written,
      set: (value) => { written = value ?? ""; native.set.call(input, translated(String(written))); },
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

  const begin = async () => {
    try {
      const answer = await fetch(new URL("texts/zh.json", document.baseURI));
      if (!answer.ok) return;
      learn(await answer.json());
    } catch {
      return; // the page stays English, and says elsewhere that the program can't be reached
    }
    document.documentElement.lang = "zh-CN";
    window.headroomText = (text) => translated(text);
    watch();
  };
  begin();
})();
