// A clip with all that can be done with it, and two clips side by side.
const openDialog = (label, ...inside) => {
  const close = () => dialog.close();
  const dialog = make("dialog", { class: "lib-dialog", "aria-label": label },
    make("div", { class: "lib-dialog-in" },
      make("div", { class: "lib-head" }, make("h2", { text: label }), button(headroomText("script.close"), close)),
      ...inside));
  // A press on what lies around it closes it, too; everything of its own is inside a child.
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  dialog.addEventListener("close", () => {
    dialog.querySelectorAll("video").forEach((video) => { video.pause(); video.removeAttribute("src"); video.load(); });
    dialog.remove();
  });
  element.append(dialog);
  dialog.showModal();
  return dialog;
};

// `acts`: buttons, each with what it does; what it returns is told, and true closes the dialog.
const showClip = (clip, acts) => {
  const told = make("p", { class: "lib-told", role: "status" });
  const video = make("video", { src: place("clip", clip), controls: true, loop: true, autoplay: true, playsinline: true });
  video.muted = true; // they have no sound, and browsers let only muted ones play by themselves
  const receipt = make("details", {}, make("summary", { text: headroomText("script.receipt") }));
  receipt.addEventListener("toggle", async () => {
    if (!receipt.open || receipt.querySelector("table")) return;
    try {
      receipt.append(receiptTable((await ask(`clip/${clip.id}/receipt`)).rows));
    } catch (error) {
      told.textContent = error.message;
    }
  });
  const row = make("div", { class: "lib-acts" });
  const { size, seed, model } = clip;
  const facts = headroomText("script.clip_facts", { size, seed, model, when: when(clip) });
  const dialog = openDialog(headroomText("script.clip"), video,
    make("p", { class: "lib-prompt", translate: "no", text: clip.prompt }),
    make("p", { class: "lib-facts", text: facts }), row, told, receipt);
  for (const [label, act] of acts) {
    row.append(button(label, async () => {
      told.textContent = "";
      try {
        const said = await act(video);
        if (said === true) dialog.close(); else told.textContent = said || "";
      } catch (error) {
        told.textContent = error.message;
      }
    }));
  }
  row.append(make("a", { class: "lib-button", href: place("clip", clip, "&download=1"), download: "", text: headroomText("script.download") }));
};

// The rows of two receipts that aren't the same; the reasons are left to each clip's own receipt. The
// last row is the file's name, which two clips never share.
const differences = (one, other) => {
  const values = [one, other].map((rows) => new Map(rows.slice(0, -1).map(([name, value]) => [name, value])));
  return [...new Set([...values[0].keys(), ...values[1].keys()])]
    .map((name) => [name, values[0].get(name) ?? "–", values[1].get(name) ?? "–"])
    .filter(([, a, b]) => a !== b);
};

const compare = async (pair) => {
  const told = make("p", { class: "lib-told", role: "status" });
  const films = pair.map((clip) => {
    const film = make("video", { src: place("clip", clip), playsinline: true, preload: "auto" });
    film.muted = true;
    return film;
  });
  const shown = pair.map((clip, at) => make("figure", {}, films[at],
    make("figcaption", { translate: "no", text: `${"AB"[at]}: ${short(clip, 120)}` })));
  const play = button(headroomText("script.pause"), () => { wanted = !wanted; });
  const slider = make("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": headroomText("script.place_in_both") });
  const table = make("div", { class: "lib-differences" });
  const dialog = openDialog(headroomText("script.compare"), make("div", { class: "lib-pair" }, ...shown),
    make("div", { class: "lib-transport" }, play, slider), told, table);

  let wanted = true, playing = true;
  slider.addEventListener("input", () => {
    const at = slider.value / 1000 * Math.max(...films.map((film) => film.duration || 0));
    films.forEach((film) => { film.currentTime = Math.min(at, Math.max(0, film.duration - 0.01)); });
  });
  const step = () => {
    if (!dialog.isConnected) return;
    requestAnimationFrame(step);
    if (films.some((film) => film.readyState < 2)) return;
    // The longer one leads; the other is put right when it strays, and waits on its last picture.
    const [lead, other] = films[0].duration >= films[1].duration ? films : [films[1], films[0]];
    if (playing !== wanted) play.textContent = headroomText(wanted ? "script.pause" : "script.play");
    playing = wanted;
    if (lead.ended && wanted) films.forEach((film) => { film.currentTime = 0; });
    const within = lead.currentTime < other.duration - 0.02;
    if (within && Math.abs(other.currentTime - lead.currentTime) > 0.06) other.currentTime = lead.currentTime;
    for (const [film, on] of [[lead, wanted], [other, wanted && within]]) {
      if (on && film.paused) film.play().catch(() => {});
      if (!on && !film.paused) film.pause();
    }
    if (document.activeElement !== slider || wanted) slider.value = lead.currentTime / lead.duration * 1000;
  };
  step();
  try {
    const receipts = await Promise.all(pair.map((clip) => ask(`clip/${clip.id}/receipt`)));
    const rows = differences(...receipts.map((one) => one.rows));
    table.append(rows.length ? make("table", { class: "receipt" },
      make("thead", {}, make("tr", {}, ...["", "A", "B"].map((text) => make("th", { scope: "col", text })))),
      make("tbody", {}, ...rows.map(([name, a, b]) => make("tr", {},
        make("th", { scope: "row", text: name }), ...[a, b].map((text) => make("td", { translate: "no", text }))))))
      : make("p", { text: headroomText("script.same_receipts") }));
  } catch (error) {
    told.textContent = error.message;
  }
};
