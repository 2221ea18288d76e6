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
  const undo = button(headroomText("script.undo"), async () => {
    if (!await act(clip, "restore")) return;
    say(headroomText("script.undone"));
    tellOthers();
    await reload();
    giveBack({ id: String(clip.id), index: 0, button: 0 });
  });
  say(headroomText("script.deleted"), undo);
  tellOthers();
  drop(clip, undo);
};

const restore = async (clip) => {
  if (!await act(clip, "restore")) return;
  drop(clip, field("trash"));
  say(headroomText("script.restored"));
  tellOthers();
};

const again = async (clip, fresh) => {
  await ask(`clip/${clip.id}/again`, { fresh });
  return headroomText(fresh ? "script.queued_new_seed" : "script.queued_same_seed");
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
    make("span", { text: chosen.length === 1
      ? headroomText("script.choose_another", { prompt: short(chosen[0], 40) }) : headroomText("script.two_chosen") }),
    ...(chosen.length === 2 ? [button(headroomText("script.compare"), () => compare(chosen))] : []),
    button(headroomText("script.clear"), () => { chosen = []; choose({ id: 0 }, false); }));
};

const openClip = (clip) => {
  const acts = [
    [headroomText("script.same_again"), () => again(clip, false)],
    [headroomText("script.new_seed"), () => again(clip, true)],
    [headroomText("script.use_settings"), () => { trigger("select", { id: clip.id }); return true; }],
  ];
  if (!strip && clip.days === null) acts.push([headroomText("script.compare"), () => { choose(clip, true); return true; }]);
  if (mayOpenFolders) {
    acts.push([headroomText("script.open_folder"),
      () => ask(`clip/${clip.id}/folder`, {}).then(() => headroomText("script.folder_asked"))]);
  }
  acts.push(clip.days === null
    ? [headroomText("script.delete"), (video) => { video.removeAttribute("src"); video.load(); remove(clip); return true; }]
    : [headroomText("script.restore"), () => { restore(clip); return true; }]);
  showClip(clip, acts);
};

// ---- drawing -------------------------------------------------------------------------------

const card = (clip) => {
  const named = { prompt: short(clip, 80) };
  const left = clip.days === 1 ? headroomText("script.one_day_left") : headroomText("script.days_left", { n: clip.days });
  const acts = clip.days === null
    ? [
      button(clip.favourite ? "★" : "☆", () => favourite(clip), {
        class: "lib-icon", "aria-pressed": String(clip.favourite),
        "aria-label": headroomText("script.favourite_clip", named), title: headroomText("script.favourite") }),
      ...(strip ? [] : [button("⇄", (event) => choose(clip, event.currentTarget.getAttribute("aria-pressed") !== "true"), {
        class: "lib-icon lib-compare", "aria-pressed": String(chosen.some((one) => one.id === clip.id)),
        "aria-label": headroomText("script.compare_clip", named), title: headroomText("script.compare") })]),
      button("✕", () => remove(clip), {
        class: "lib-icon", "aria-label": headroomText("script.delete_clip", named), title: headroomText("script.delete") }),
    ]
    : [make("span", { class: "lib-days", text: left }),
      button(headroomText("script.restore"), () => restore(clip), { "aria-label": headroomText("script.restore_clip", named) })];
  const { width, height, length } = clip;
  const picture = make("img", { src: place("thumb", clip), alt: "", loading: "lazy", decoding: "async" });
  let tries = 0;
  picture.addEventListener("load", () => {
    // A drawing 16 wide stands for a still that is made right now.
    if (picture.naturalWidth !== 16 || tries === 5) return;
    tries += 1;
    setTimeout(() => { if (picture.isConnected) picture.src = place("thumb", clip, `&try=${tries}`); }, 700 * 2 ** (tries - 1));
  });
  return make("article", { class: "lib-card", "data-id": clip.id },
    make("button", {
      type: "button", class: "lib-picture", "aria-label": headroomText("script.open_clip", named), onclick: () => openClip(clip),
    }, picture),
    make("p", { class: "lib-prompt", translate: "no", text: clip.prompt, title: clip.prompt }),
    make("p", { class: "lib-facts", text: headroomText("script.clip_size", { width, height, length }) }),
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
  if (inTrash()) return headroomText("script.trash_empty");
  if (filtered()) return headroomText("script.nothing_found");
  return headroomText("script.no_clip_yet");
};

const tellCount = () => {
  const some = filtered() ? "script.clips_found" : count === 1 ? "script.one_clip" : "script.clips";
  at(".lib-count").textContent = !count || strip ? "" : headroomText(inTrash() ? "script.clips_in_trash" : some, { n: count });
  if (strip) root.hidden = count === 0; // the panel above says what to do first
  else if (count === 0 && !next) pagesNode.replaceChildren(make("p", { class: "lib-empty", text: EMPTY() }));
};

const options = (name, choices) => {
  const select = field(name);
  const value = select.value;
  select.replaceChildren(make("option", { value: "", text: headroomText("script.all") }), ...choices.map(([id, text]) => make("option", { value: id, translate: "no", text })));
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
        ? headroomText("script.one_file_not_shown") : headroomText("script.files_not_shown", { n: told.not_taken.length });
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
