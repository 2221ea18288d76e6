// A clip as a card. Those that are drawn are kept by number, so that none is drawn twice.
const still = (clip) => {
  const picture = make("img", { src: place("thumb", clip), alt: "", loading: "lazy", decoding: "async" });
  let tries = 0;
  picture.addEventListener("load", () => {
    // A drawing 16 wide stands for a still that is made right now.
    if (picture.naturalWidth !== 16 || tries === 5) return;
    tries += 1;
    setTimeout(() => { if (picture.isConnected) picture.src = place("thumb", clip, `&try=${tries}`); }, 700 * 2 ** (tries - 1));
  });
  return picture;
};

const actsOf = (clip) => {
  const named = { prompt: short(clip, 80) };
  if (clip.days !== null) {
    const left = clip.days === 1 ? headroomText("script.one_day_left") : headroomText("script.days_left", { n: clip.days });
    return [make("span", { class: "lib-days", text: left }),
      button(headroomText("script.restore"), () => restore(clip), { "aria-label": headroomText("script.restore_clip", named) })];
  }
  return [
    iconButton("star", headroomText("script.favourite_clip", named), () => favourite(clip), {
      "aria-pressed": String(clip.favourite), title: headroomText("script.favourite") }),
    iconButton("bin", headroomText("script.delete_clip", named), () => remove(clip), { title: headroomText("script.delete") })];
};

const press = (clip, event) => {
  if (event.shiftKey) extendTo(clip);
  else if (event.ctrlKey || event.metaKey) toggle(clip);
  else openClip(clip);
};

// A box has changed by itself when this is told; what it shows follows from what is selected.
const tick = (clip, event) => {
  if (event.shiftKey && anchor !== null) extendTo(clip);
  else toggle(clip);
};

const card = (clip) => {
  const named = { prompt: short(clip, 80) };
  const { width, height, length } = clip;
  const picture = make("button", {
    type: "button", class: "lib-picture", "aria-label": headroomText(clip.stack > 1 ? "script.open_stack" : "script.open_clip", { ...named, n: clip.stack }), onclick: (event) => press(clip, event),
  }, still(clip));
  if (clip.stack > 1) picture.append(make("span", { class: "lib-stack", text: headroomText("script.stack", { n: clip.stack }) }));
  previews(clip, picture);
  const box = [make("input", {
    type: "checkbox", class: "lib-select", "aria-label": headroomText("script.select_clip", named), onclick: (event) => tick(clip, event) })];
  const made = make("div", { class: clip.stack > 1 ? "lib-card stacked" : "lib-card", "data-id": clip.id, role: "gridcell", "aria-selected": String(isSelected(clip)) },
    picture, ...box,
    make("p", { class: "lib-prompt", translate: "no", text: clip.prompt, title: clip.prompt }),
    make("p", { class: "lib-facts" },
      make("span", { text: headroomText("script.clip_size", { width, height, length }) }),
      make("span", { text: when(clip, inTrash() ? brief : hour), title: when(clip) })),
    make("div", { class: clip.days === null ? "lib-acts over" : "lib-acts" }, ...actsOf(clip)));
  if (box[0]) box[0].checked = isSelected(clip);
  reachable(made, clip.id === current);
  return made;
};

const nodeOf = (clip) => {
  if (!nodes.has(clip.id)) nodes.set(clip.id, { node: card(clip), clip });
  return nodes.get(clip.id).node;
};

const redraw = (clip) => {
  const old = nodes.get(clip.id);
  if (!old) return;
  const held = holding();
  nodes.delete(clip.id);
  old.node.replaceWith(nodeOf(clip));
  giveBack(held);
};
