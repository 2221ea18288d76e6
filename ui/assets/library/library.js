// The library: pages of clips that come as they are scrolled to. Rows that are far away are emptied,
// so that ten thousand clips are no more in the document than a few hundred.
const pagesNode = at(".lib-pages");
const form = at(".lib-bar");

let clips = []; // all that came, newest first
let rows = []; // {items, node}; a node without children is a row that is far away
const nodes = new Map(); // of the cards that are drawn, by their clips' numbers: {node, clip}
let columns = 1;
let next = "";
let count = 0;
let asked = 0; // the number of the newest question: answers to older ones are dropped
let busy = false;
let renewing = false; // the list from its beginning was asked for and hasn't come
let mayOpenFolders = false;

const say = (text, ...more) => {
  const close = [iconButton("close", headroomText("script.close"), () => { say(""); focusCurrent(); })];
  at(".lib-told").replaceChildren(...(text ? [make("span", { text }), ...more, ...close] : []));
};
const field = (name) => (form ? form.elements[name] : null);
const filtered = () => (field("words").value.trim() || field("model").value || field("size").value || field("favourites").checked);
const inTrash = () => field("trash").checked;

// ---- the focus -----------------------------------------------------------------------------

const cards = () => [...root.querySelectorAll(".lib-card")];
const PRESSED = "button, input";
const holding = () => {
  const index = cards().findIndex((one) => one.contains(document.activeElement));
  if (index < 0) return null;
  const held = cards()[index];
  return { id: held.dataset.id, index, button: [...held.querySelectorAll(PRESSED)].indexOf(document.activeElement) };
};
// What is drawn anew loses it: it goes back to the same clip's button, or to the picture of the clip
// that took its place.
const giveBack = (held, instead) => {
  if (!held || document.activeElement !== document.body) return;
  const same = cards().find((one) => one.dataset.id === held.id);
  if (same) same.querySelectorAll(PRESSED)[held.button]?.focus({ preventScroll: true });
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

// Something was changed here: the other list asks anew, and so does this one if it had asked before.
const tellOthers = () => {
  if (renewing) reload();
  document.dispatchEvent(new CustomEvent("headroom-library", { detail: root }));
};

const favourite = async (clip) => {
  if (!await act(clip, "favourite", { on: !clip.favourite })) return;
  clip.favourite = !clip.favourite;
  redraw(clip);
  tellOthers();
};

const remove = async (clip) => {
  if (!await act(clip, "trash")) return;
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
  uncover([clip]);
};

const restore = async (clip) => {
  if (!await act(clip, "restore")) return;
  drop(clip, field("trash"));
  say(headroomText("script.restored"));
  tellOthers();
};

const again = async (clip, fresh, exact = false) => {
  await ask(`clip/${clip.id}/again`, { fresh, exact });
  return headroomText(fresh ? "script.queued_new_seed" : "script.queued_same_seed");
};

const openClip = (clip) => {
  endPreview();
  const acts = [
    [headroomText("script.same_again"), () => again(clip, false)],
    [headroomText("script.new_seed"), () => again(clip, true)],
    ...(clip.draft ? [[headroomText("script.make_exact"), () => again(clip, false, true)]] : []),
    [headroomText("script.use_settings"), () => { trigger("select", { id: clip.id }); return true; }],
  ];
  if (clip.days === null && clip.rates.length) {
    const fps = smoothRate(clip);
    acts.push([headroomText("script.smooth_to", { n: fps }),
      () => ask(`clip/${clip.id}/smooth`, { fps }).then(() => headroomText("script.queued_smooth", { n: fps }))]);
  }
  if (clip.days === null && clip.larger.length) {
    const size = largerSize(clip);
    acts.push([headroomText("script.enlarge_to", { size: pixels(size) }),
      () => ask(`clip/${clip.id}/enlarge`, { height: size.height }).then(() => headroomText("script.queued_enlarge", { size: pixels(size) }))]);
  }
  if (clip.days === null) {
    acts.push([headroomText("script.animate"), (video) => beginWith(clip, video.currentTime).then(() => true)]);
    if (!clip.is_version) acts.push([headroomText("script.go_on"), () => beginWith(clip).then(() => true)]);
    acts.push([headroomText("script.compare"), () => {
      select([clip], true);
      if (selected.size === 2) compareBoth();
      else say(headroomText("script.choose_another", { prompt: short(clip, 40) }));
      return true;
    }]);
  }
  if (mayOpenFolders) {
    acts.push([headroomText("script.open_folder"),
      () => ask(`clip/${clip.id}/folder`, {}).then(() => headroomText("script.folder_asked"))]);
  }
  acts.push(clip.days === null
    ? [headroomText("script.delete"), (video) => { video.removeAttribute("src"); video.load(); remove(clip); return true; }]
    : [headroomText("script.restore"), () => { restore(clip); return true; }]);
  tellVersions(showClip(clip, acts), clip);
};

// What else there is of the clip that `dialog` shows: pressed, it takes its place.
const tellVersions = async (dialog, clip) => {
  let all = [];
  let take = "";
  if (clip.days === null) try { ({ clips: all, take } = await familyOf(clip)); } catch { return; }
  if (all.length < 2 || !dialog.isConnected) return;
  const chips = versionChips(all, clip, (one) => { dialog.close(); openClip(one); });
  dialog.querySelector(".lib-acts").before(make("div", { class: "lib-versions lib-forms", role: "group", "aria-label": headroomText("script.versions") },
    ...chips, button(headroomText("script.compare_versions"), () => { dialog.close(); compare(pairOf(clip, all)); }),
    make("span", { class: "lib-take", text: take })));
};

// These are no longer in this list.
const leave = (ids) => {
  const gone = new Set(ids);
  const before = clips.length;
  clips = clips.filter((clip) => !gone.has(clip.id));
  gone.forEach((id) => { nodes.delete(id); selected.delete(id); });
  count -= before - clips.length;
  layOut();
  tellCount();
  showSelection();
};

// `instead`: what gets the focus where no clip is left.
const drop = async (clip, instead) => {
  const held = holding();
  leave([clip.id]);
  giveBack(held, instead);
};

const EMPTY = () => {
  if (inTrash()) return headroomText("script.trash_empty");
  if (filtered()) return headroomText("script.nothing_found");
  return headroomText("script.no_clip_yet");
};

const tellCount = () => {
  const some = filtered() ? "script.clips_found" : count === 1 ? "script.one_clip" : "script.clips";
  at(".lib-count").textContent = !count ? "" : headroomText(inTrash() ? "script.clips_in_trash" : some, { n: count });
  if (count === 0 && !next) pagesNode.replaceChildren(make("p", { class: "lib-empty", text: EMPTY() }));
};

const options = (name, choices) => {
  const select = field(name);
  const value = select.value;
  select.replaceChildren(make("option", { value: "", text: headroomText("script.all") }), ...choices.map(([id, text]) => make("option", { value: id, translate: "no", text })));
  if (choices.some(([id]) => id === value)) select.value = value;
};

// ---- asking --------------------------------------------------------------------------------

const load = async (first, limit = 0) => {
  const mine = first ? (asked += 1) : asked;
  if (!first && (busy || !next)) return;
  busy = true;
  renewing = first;
  const query = new URLSearchParams({
    words: field("words").value, model: field("model").value, size: field("size").value,
    favourites: field("favourites").checked, trash: inTrash(), stacked: !inTrash(),
  });
  if (!first) query.set("after", next);
  if (limit) query.set("limit", limit);
  try {
    const told = await ask(`library?${query}`);
    if (mine !== asked) return;
    if (first) {
      mayOpenFolders = told.folder;
      options("model", told.models);
      options("size", told.sizes);
    }
    ({ count, next } = told);
    if (first) show(told.clips);
    else {
      clips.push(...told.clips);
      append(told.clips, () => true);
    }
    tellCount();
  } catch (error) {
    if (mine === asked) { say(error.message); next = first ? "" : next; }
  } finally {
    if (mine === asked) { busy = renewing = false; more(); }
  }
};
const reload = () => load(true);
// Of those that left, another version is in sight now, as far down as the reader is.
const uncover = (gone) => { if (gone.some((clip) => clip.stack > 1)) load(true, Math.min(Math.max(clips.length + 1, 60), 200)); };

// A new list. What is in it as before stays the same card: its picture doesn't blink.
const show = (newest) => {
  const told = (list) => JSON.stringify(list);
  if (newest.length && rows.length && told(newest) === told(clips)) return;
  const held = holding();
  const before = new Map([...nodes].map(([id, one]) => [id, one.clip]));
  const earlier = clips;
  clips = newest.map((clip) => {
    const same = before.get(clip.id);
    return same && JSON.stringify(same) === JSON.stringify(clip) ? same : clip;
  });
  const kept = new Set(clips);
  bequeath(earlier);
  for (const [id, one] of nodes) if (!kept.has(one.clip)) nodes.delete(id);
  layOut(() => true);
  pruneSelection();
  giveBack(held);
};

let endIsNear = false;
const more = () => { if (endIsNear && next && root.offsetParent) load(false); };

{
  let pause = 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    clearTimeout(pause);
    say("");
    clearSelection();
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
    if (!entries.some((entry) => entry.isIntersecting)) { endPreview(); return; }
    say("");
    reload();
    // Also without a change: another scan may have brought some since the first answer.
    if (await lookAround() || clips.length <= 60) reload();
  }).observe(root);
  new IntersectionObserver((entries) => {
    endIsNear = entries[entries.length - 1].isIntersecting;
    more();
  }, { rootMargin: "1200px 0px" }).observe(at(".lib-end"));
  new ResizeObserver(() => {
    if (!pagesNode.clientWidth || !clips.length) return;
    if (fitting() === columns) return;
    const held = holding();
    layOut();
    giveBack(held);
  }).observe(pagesNode);
}
// A clip was made, or the other list changed something: what is on show is told anew, unless the
// reader is far down in it.
const renew = () => { if (root.isConnected && root.offsetParent && clips.length <= 60) reload(); };
document.addEventListener("headroom-ended", renew);
document.addEventListener("headroom-library", (event) => { if (event.detail !== root) renew(); });
