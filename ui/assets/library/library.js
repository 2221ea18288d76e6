// The library: pages of clips that come as they are scrolled to, and go again when they are far
// away, so that ten thousand of them are no more in the document than a few hundred.
const root = element.querySelector(".library");
const strip = root.dataset.show === "strip";
const at = (selector) => root.querySelector(selector);
const pagesNode = at(".lib-pages");
const form = at(".lib-bar");
const IN_STRIP = 8;

let pages = []; // {items, node}; a node without children is a page that is far away
let next = "";
let count = 0;
let asked = 0; // the number of the newest question: answers to older ones are dropped
let busy = false;
let mayOpenFolders = false;
let chosen = []; // of which two are compared

const say = (text, ...more) => {
  at(".lib-told").replaceChildren(...(text ? [make("span", { text }), ...more] : []));
};
const field = (name) => (form ? form.elements[name] : null);
const filtered = () => !strip && (field("words").value.trim() || field("model").value || field("size").value || field("favourites").checked);
const inTrash = () => !strip && field("trash").checked;

// ---- the focus -----------------------------------------------------------------------------

const cards = () => [...root.querySelectorAll(".lib-card")];
const holding = () => {
  const index = cards().findIndex((one) => one.contains(document.activeElement));
  if (index < 0) return null;
  const held = cards()[index];
  return { id: held.dataset.id, index, button: [...held.querySelectorAll("button")].indexOf(document.activeElement) };
};
// What is drawn anew loses it: it goes back to the same clip's button, or to the picture of the clip
// that took its place.
const giveBack = (held, instead) => {
  if (!held || document.activeElement !== document.body) return;
  const same = cards().find((one) => one.dataset.id === held.id);
  if (same) same.querySelectorAll("button")[held.button]?.focus({ preventScroll: true });
  else (cards()[held.index]?.querySelector(".lib-picture") || instead)?.focus();
};

// ---- what can be done with a clip ----------------------------------------------------------

const act = async (clip, what, body = {}) => {
  try {
    await ask(`clip/${clip.id}/${what}`, body);
    return true;
  } catch (error) {
    say(error.message);
    return false;
  }
};

const tellOthers = () => document.dispatchEvent(new CustomEvent("headroom-library", { detail: root }));

const favourite = async (clip) => {
  if (!await act(clip, "favourite", { on: !clip.favourite })) return;
  clip.favourite = !clip.favourite;
  redraw(clip);
  tellOthers();
};

const remove = async (clip) => {
  if (!await act(clip, "trash")) return;
  choose(clip, false);
  const undo = button("Undo", async () => {
    if (!await act(clip, "restore")) return;
    say("It is back.");
    tellOthers();
    await reload();
    giveBack({ id: String(clip.id), index: 0, button: 0 });
  });
  say("Deleted. It stays in the trash for 7 days.", undo);
  tellOthers();
  drop(clip, undo);
};

const restore = async (clip) => {
  if (!await act(clip, "restore")) return;
  drop(clip, field("trash"));
  say("Restored. It is among the clips again.");
  tellOthers();
};

const again = async (clip, fresh) => {
  await ask(`clip/${clip.id}/again`, { fresh });
  return fresh ? "It waits in the queue, with a new seed." : "It waits in the queue, with the same seed.";
};

const choose = (clip, on) => {
  chosen = chosen.filter((one) => one.id !== clip.id);
  if (on) chosen = [...chosen.slice(-1), clip];
  root.querySelectorAll(".lib-card").forEach((card) => {
    const mark = card.querySelector(".lib-compare");
    if (mark) mark.setAttribute("aria-pressed", chosen.some((one) => String(one.id) === card.dataset.id));
  });
  const bar = at(".lib-choice");
  if (!bar) return;
  bar.hidden = chosen.length === 0;
  bar.replaceChildren(
    make("span", { text: chosen.length === 1 ? `“${short(chosen[0], 40)}”: choose another one to compare it with.` : "Two clips are chosen." }),
    ...(chosen.length === 2 ? [button("Compare", () => compare(chosen))] : []),
    button("Clear", () => { chosen = []; choose({ id: 0 }, false); }));
};

const openClip = (clip) => {
  const acts = [
    ["Same again", () => again(clip, false)],
    ["New seed", () => again(clip, true)],
    ["Use settings", () => { trigger("select", { id: clip.id }); return true; }],
  ];
  if (!strip && clip.days === null) acts.push(["Compare", () => { choose(clip, true); return true; }]);
  if (mayOpenFolders) acts.push(["Open folder", () => ask(`clip/${clip.id}/folder`, {}).then(() => "The file manager is asked.")]);
  acts.push(clip.days === null
    ? ["Delete", (video) => { video.removeAttribute("src"); video.load(); remove(clip); return true; }]
    : ["Restore", () => { restore(clip); return true; }]);
  showClip(clip, acts);
};

// ---- drawing -------------------------------------------------------------------------------

const card = (clip) => {
  const name = short(clip, 80);
  const acts = clip.days === null
    ? [
      button(clip.favourite ? "★" : "☆", () => favourite(clip), {
        class: "lib-icon", "aria-pressed": String(clip.favourite), "aria-label": `Favourite: ${name}`, title: "Favourite" }),
      ...(strip ? [] : [button("⇄", (event) => choose(clip, event.currentTarget.getAttribute("aria-pressed") !== "true"), {
        class: "lib-icon lib-compare", "aria-pressed": String(chosen.some((one) => one.id === clip.id)), "aria-label": `Compare: ${name}`, title: "Compare" })]),
      button("✕", () => remove(clip), { class: "lib-icon", "aria-label": `Delete: ${name}`, title: "Delete" }),
    ]
    : [make("span", { class: "lib-days", text: clip.days === 1 ? "1 day left" : `${clip.days} days left` }),
      button("Restore", () => restore(clip), { "aria-label": `Restore: ${name}` })];
  const picture = make("img", { src: place("thumb", clip), alt: "", loading: "lazy", decoding: "async" });
  let tries = 0;
  picture.addEventListener("load", () => {
    // A drawing 16 wide stands for a still that is made right now.
    if (picture.naturalWidth !== 16 || tries === 5) return;
    tries += 1;
    setTimeout(() => { if (picture.isConnected) picture.src = place("thumb", clip, `&try=${tries}`); }, 700 * 2 ** (tries - 1));
  });
  return make("article", { class: "lib-card", "data-id": clip.id },
    make("button", { type: "button", class: "lib-picture", "aria-label": `Open: ${name}`, onclick: () => openClip(clip) }, picture),
    make("p", { class: "lib-prompt", translate: "no", text: clip.prompt, title: clip.prompt }),
    make("p", { class: "lib-facts", text: `${clip.width} × ${clip.height}, ${clip.length}` }),
    make("p", { class: "lib-facts", text: when(clip, brief) }),
    make("div", { class: "lib-acts" }, ...acts));
};

const fill = (page) => {
  page.node.replaceChildren(...page.items.map(card));
  page.node.style.minHeight = "";
};

const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
  const page = pages.find((one) => one.node === entry.target);
  if (!page || !root.offsetParent) return; // another tab is open: nothing is far away for that
  if (entry.isIntersecting) {
    if (!page.node.firstChild) fill(page);
  } else if (page.node.firstChild && !page.node.contains(document.activeElement)) {
    page.node.style.minHeight = `${page.node.offsetHeight}px`;
    page.node.replaceChildren();
  }
}), { rootMargin: "2000px 0px" });

const redraw = (clip) => {
  const old = root.querySelector(`.lib-card[data-id="${clip.id}"]`);
  if (!old) return;
  const held = holding();
  old.replaceWith(card(clip));
  giveBack(held);
};

// `instead`: what gets the focus where no clip is left.
const drop = async (clip, instead) => {
  const held = holding();
  const page = pages.find((one) => one.items.includes(clip));
  if (page) {
    page.items = page.items.filter((one) => one !== clip);
    root.querySelector(`.lib-card[data-id="${clip.id}"]`)?.remove();
    count -= 1;
  }
  if (strip || !page) await reload(); else tellCount();
  giveBack(held, instead);
};

const EMPTY = () => {
  if (inTrash()) return "The trash is empty. A deleted clip waits here for 7 days and can be taken back.";
  if (filtered()) return "No clip is like that. Fewer words, or other filters, find more.";
  return "No clip yet. What you make appears here, and so does an MP4 of Headroom's that you put into the clips folder.";
};

const tellCount = () => {
  const some = () => (filtered() ? `${count} found` : `${count} ${count === 1 ? "clip" : "clips"}`);
  at(".lib-count").textContent = !count || strip ? "" : inTrash() ? `${count} in the trash` : some();
  if (strip) root.hidden = count === 0; // the panel above says what to do first
  else if (count === 0 && !next) pagesNode.replaceChildren(make("p", { class: "lib-empty", text: EMPTY() }));
};

const options = (name, choices) => {
  const select = field(name);
  const value = select.value;
  select.replaceChildren(make("option", { value: "", text: "all" }), ...choices.map(([id, text]) => make("option", { value: id, translate: "no", text })));
  if (choices.some(([id]) => id === value)) select.value = value;
};

// ---- asking --------------------------------------------------------------------------------

const load = async (first) => {
  const mine = first ? (asked += 1) : asked;
  if (!first && (busy || !next)) return;
  busy = true;
  const query = new URLSearchParams(strip ? { limit: IN_STRIP } : {
    words: field("words").value, model: field("model").value, size: field("size").value,
    favourites: field("favourites").checked, trash: field("trash").checked,
  });
  if (!first) query.set("after", next);
  let held = null;
  try {
    const told = await ask(`library?${query}`);
    if (mine !== asked) return;
    if (first) {
      near.disconnect();
      held = holding();
      pages = [];
      pagesNode.replaceChildren();
      mayOpenFolders = told.folder;
      if (!strip) { options("model", told.models); options("size", told.sizes); }
    }
    ({ count, next } = told);
    if (strip) next = "";
    if (told.clips.length) {
      const page = { items: told.clips, node: make("div", { class: "lib-page" }) };
      pages.push(page);
      fill(page);
      pagesNode.append(page.node);
      if (!strip) near.observe(page.node);
    }
    tellCount();
    giveBack(held);
  } catch (error) {
    if (mine === asked) { say(error.message); next = first ? "" : next; }
  } finally {
    if (mine === asked) { busy = false; more(); }
  }
};
const reload = () => load(true);

let endIsNear = false;
const more = () => { if (endIsNear && next && root.offsetParent) load(false); };

if (strip) {
  at("[data-do=all]").addEventListener("click", () => trigger("expand"));
  reload();
} else {
  let pause = 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    clearTimeout(pause);
    say("");
    pause = setTimeout(reload, event.target.name === "words" ? 250 : 0);
  });
  const lookAround = async () => {
    try {
      const told = await ask("library/scan", {});
      if (told.problem) say(told.problem);
      const box = at(".lib-refused");
      box.hidden = told.not_taken.length === 0;
      box.querySelector("summary").textContent = told.not_taken.length === 1
        ? "A file in the clips folder isn't shown" : `${told.not_taken.length} files in the clips folder aren't shown`;
      box.querySelector("ul").replaceChildren(...told.not_taken.slice(0, 50).map((text) => make("li", { text })));
      if (told.young) setTimeout(async () => { if (root.offsetParent && await lookAround()) renew(); }, 4000);
      return told.changed;
    } catch (error) {
      say(error.message);
      return 0;
    }
  };
  // Whenever the tab is opened: what is known at once, and what the folders say a moment later.
  new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    reload();
    if (await lookAround()) reload();
  }).observe(root);
  new IntersectionObserver((entries) => {
    endIsNear = entries[entries.length - 1].isIntersecting;
    more();
  }, { rootMargin: "1200px 0px" }).observe(at(".lib-end"));
}
// A clip was made, or the other list changed something: what is on show is told anew, unless the
// reader is far down in it.
const renew = () => { if (root.isConnected && (strip || (root.offsetParent && pages.length < 2))) reload(); };
document.addEventListener("headroom-ended", renew);
document.addEventListener("headroom-library", (event) => { if (event.detail !== root) renew(); });
