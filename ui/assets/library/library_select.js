// Several clips are selected, and something is done with all of them.
const MOST = 1000; // that one call takes (ui/tabs/library_many.py)
const selected = new Set(); // of clips' numbers
let anchor = null; // from where Shift extends

const isSelected = (clip) => selected.has(clip.id);
const theSelected = () => clips.filter(isSelected);

const showSelection = () => {
  for (const [id, { node }] of nodes) {
    node.setAttribute("aria-selected", String(selected.has(id)));
    const box = node.querySelector(".lib-select");
    if (box) box.checked = selected.has(id);
  }
  root.classList.toggle("selecting", selected.size > 0);
  showBar();
};

const select = (some, on) => {
  some.forEach((clip) => (on ? selected.add(clip.id) : selected.delete(clip.id)));
  showSelection();
};

const clearSelection = () => {
  const within = bar?.contains(document.activeElement);
  selected.clear();
  anchor = null;
  showSelection();
  if (within) focusCurrent();
};

// All from the anchor to this one; without an anchor this is it.
const extendTo = (clip) => {
  const [from, to] = [clips.findIndex((one) => one.id === anchor), clips.indexOf(clip)];
  if (from < 0) anchor = clip.id;
  select(from < 0 ? [clip] : clips.slice(Math.min(from, to), Math.max(from, to) + 1), true);
};

const toggle = (clip) => {
  anchor = clip.id;
  select([clip], !isSelected(clip));
};

// A newer version lies on top of one that was selected: it is selected instead, as is seen.
const bequeath = (earlier) => {
  const here = new Set(clips.map((clip) => clip.id));
  const heirs = new Map(clips.map((clip) => [clip.root, clip.id]));
  for (const { id, root: kin } of earlier) {
    if (!selected.has(id) || here.has(id) || !kin || !heirs.has(kin)) continue;
    selected.delete(id);
    selected.add(heirs.get(kin));
    if (anchor === id) anchor = heirs.get(kin);
  }
};

// A list that was drawn anew may lack some of them.
const pruneSelection = () => {
  const here = new Set(clips.map((clip) => clip.id));
  [...selected].filter((id) => !here.has(id)).forEach((id) => selected.delete(id));
  showSelection();
};

// ---- what is done with all of them -----------------------------------------------------------

// `path` is asked as often as needed; the answer says for all which are done, and why others aren't.
const askForAll = async (path, ids, more = {}) => {
  const all = { done: [], failed: [] };
  for (let from = 0; from < ids.length; from += MOST) {
    const told = await ask(path, { ids: ids.slice(from, from + MOST), ...more });
    all.done.push(...told.done);
    all.failed.push(...told.failed);
  }
  return all;
};

const failures = (failed) => {
  if (!failed.length) return "";
  const whys = [...new Set(failed.map((one) => one.why))];
  return headroomText("script.some_failed", { n: failed.length, why: whys.slice(0, 3).join(" ") });
};
const sentences = (...said) => said.filter(Boolean).join(headroomLanguage === "zh" ? "" : " ");

// One thing at a time; the bar waits meanwhile, and what can't be done is told.
const whileBusy = async (work) => {
  if (bar.hasAttribute("aria-busy")) return;
  bar.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    say(error.message);
  } finally {
    bar.removeAttribute("aria-busy");
  }
};

const favouriteAll = () => whileBusy(async () => {
  const on = theSelected().some((clip) => !clip.favourite);
  const { done, failed } = await askForAll("library/favourite", [...selected], { on });
  const changed = new Set(done);
  for (const clip of clips.filter((one) => changed.has(one.id))) {
    clip.favourite = on;
    redraw(clip);
  }
  showSelection();
  say(failures(failed));
  tellOthers();
});

const takeBack = (ids) => whileBusy(async () => {
  const { failed } = await askForAll("library/restore", ids);
  say(sentences(headroomText("script.undone"), failures(failed)));
  tellOthers();
  await reload();
  focusCurrent();
});

const removeAll = () => whileBusy(async () => {
  const some = theSelected();
  const { done, failed } = await askForAll("library/trash", [...selected]);
  const many = done.length === 1 ? headroomText("script.deleted") : headroomText("script.deleted_many", { n: done.length });
  const undo = button(headroomText("script.undo"), () => takeBack(done));
  say(sentences(done.length && many, failures(failed)), ...(done.length ? [undo] : []));
  leave(done);
  undo.focus();
  tellOthers();
  uncover(some);
});

const restoreAll = () => whileBusy(async () => {
  const { done, failed } = await askForAll("library/restore", [...selected]);
  const many = done.length === 1 ? headroomText("script.restored") : headroomText("script.restored_many", { n: done.length });
  say(sentences(done.length && many, failures(failed)));
  leave(done);
  field("trash").focus();
  tellOthers();
});

// A download as any other, so that no ZIP lies in the page's memory.
const downloadAll = () => whileBusy(async () => {
  if (selected.size > MOST) { say(headroomText("script.zip_too_many")); return; }
  const { key, missing } = await ask("library/zip", { ids: clips.map((clip) => clip.id).filter((id) => selected.has(id)) });
  const link = make("a", { href: `library/zip/${key}`, download: "" });
  element.append(link);
  link.click();
  link.remove();
  const named = missing.length > 3 ? [...missing.slice(0, 3), "…"] : missing;
  say(missing.length ? headroomText("script.zip_lacks", { n: missing.length, files: named.join(", ") }) : "");
});

// One after the other: each is looked at before it is queued. What has as many frames, or is as large, stays as it is.
const changeAll = (wanted, change, told) => whileBusy(async () => {
  const why = new Set();
  let queued = 0;
  for (const clip of wanted) {
    try {
      await change(clip);
      queued += 1;
    } catch (error) {
      why.add(error.message);
    }
  }
  say(sentences(queued && headroomText(told, { n: queued }), ...why));
});
const smoothable = () => theSelected().filter((clip) => clip.rates.length);
const enlargeable = () => theSelected().filter((clip) => clip.larger.length);
const smoothAll = () => changeAll(smoothable(),
  (clip) => ask(`clip/${clip.id}/smooth`, { fps: smoothRate(clip) }), "script.queued_smooth_many");
const enlargeAll = () => changeAll(enlargeable(),
  (clip) => ask(`clip/${clip.id}/enlarge`, { height: largerSize(clip).height }), "script.queued_enlarge_many");

const compareBoth = () => compare(theSelected());

// ---- the bar -------------------------------------------------------------------------------

const bar = at(".lib-choice");
const counted = make("span", { role: "status" });
const inBar = {
  compare: button(headroomText("script.compare"), compareBoth),
  smooth: button(headroomText("script.smooth"), () => smoothAll()),
  enlarge: button(headroomText("script.enlarge"), () => enlargeAll()),
  favourite: button(headroomText("script.favourite"), () => favouriteAll()),
  zip: button(headroomText("script.download_zip"), () => downloadAll()),
  remove: button(headroomText("script.delete"), () => removeAll()),
  restore: button(headroomText("script.restore"), () => restoreAll()),
  clear: button(headroomText("script.clear"), () => clearSelection()),
};
bar?.append(counted, ...Object.values(inBar));

const showBar = () => {
  if (!bar) return;
  const n = selected.size;
  bar.hidden = n === 0;
  counted.textContent = n === 0 ? "" : headroomText(n === 1 ? "script.one_selected" : "script.selected", { n });
  inBar.compare.hidden = n !== 2 || theSelected().length !== 2;
  inBar.favourite.hidden = inBar.remove.hidden = inTrash();
  inBar.smooth.hidden = inTrash() || !smoothable().length;
  inBar.enlarge.hidden = inTrash() || !enlargeable().length;
  inBar.restore.hidden = !inTrash();
  const all = theSelected().every((clip) => clip.favourite);
  inBar.favourite.textContent = headroomText(n && all ? "script.unfavourite" : "script.favourite");
};
