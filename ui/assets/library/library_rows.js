// The clips as days, rows and cells: as many columns as there is room for.
const dayOf = (clip) => (inTrash() ? "" : new Date(clip.created).toDateString());
const dayText = (day) => {
  const date = new Date(day), today = new Date();
  const ago = (days) => new Date(today.getFullYear(), today.getMonth(), today.getDate() - days).toDateString();
  if (day === ago(0)) return headroomText("script.today");
  if (day === ago(1)) return headroomText("script.yesterday");
  return (date.getFullYear() === today.getFullYear() ? dayInYear : dayOfYears).format(date);
};

const fill = (row) => {
  row.node.replaceChildren(...row.items.map(nodeOf));
  row.node.removeAttribute("aria-busy");
  row.node.style.height = "";
  keepCurrent();
};

const rowOf = new WeakMap(); // by their nodes
const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
  const row = rowOf.get(entry.target);
  if (!root.offsetParent) return; // another tab is open: nothing is far away for that
  if (entry.isIntersecting) {
    if (!row.node.firstChild) fill(row);
  } else if (row.node.firstChild && !row.node.contains(document.activeElement)) {
    row.node.style.height = `${row.node.offsetHeight}px`;
    row.items.forEach((clip) => nodes.delete(clip.id));
    row.node.replaceChildren();
    row.node.setAttribute("aria-busy", "true");
    keepCurrent();
  }
}), { rootMargin: "2000px 0px" });

// A day's grid; a screen reader hears its rows and which of its cells are selected.
const newDay = (day) => {
  const name = day ? dayText(day) : headroomText("script.library");
  const grid = make("div", { class: "lib-grid", role: "grid", "aria-multiselectable": "true", "aria-label": name });
  pagesNode.append(make("section", { class: "lib-day", "data-day": day }, ...(day ? [make("h3", { text: name })] : []), grid));
  return grid;
};

// These come behind what is there.
const append = (some, drawn) => {
  for (const clip of some) {
    const section = pagesNode.lastElementChild;
    const same = section?.dataset.day === dayOf(clip);
    const last = rows[rows.length - 1];
    if (same && last.items.length < columns) {
      last.items.push(clip);
      if (last.node.firstChild) last.node.append(nodeOf(clip));
      continue;
    }
    const grid = same ? section.lastElementChild : newDay(dayOf(clip));
    const row = { items: [clip], node: make("div", { class: "lib-row", role: "row" }) };
    rows.push(row);
    rowOf.set(row.node, row);
    grid.append(row.node);
    if (drawn(clip)) row.node.append(nodeOf(clip)); else row.node.setAttribute("aria-busy", "true");
    near.observe(row.node);
  }
};

const CARD = 208, GAP = 12; // pixels: what a card has at least, and what is between two
const fitting = () => {
  const width = pagesNode.clientWidth;
  if (!width) return columns; // nobody sees it
  const least = Math.min(CARD, (width - GAP) / 2); // two on a phone
  return Math.max(1, Math.floor((width + GAP) / (least + GAP)));
};

// All of them anew; cards that are drawn already are kept.
const layOut = (drawn = (clip) => nodes.has(clip.id)) => {
  near.disconnect();
  endPreview();
  columns = fitting();
  pagesNode.style.setProperty("--columns", columns);
  rows = [];
  pagesNode.replaceChildren();
  append(clips, drawn);
  for (const [id, { node }] of nodes) if (!node.isConnected) nodes.delete(id); // in a row that begins with another
  const full = rows.find((row) => row.node.firstChild);
  if (full && full.node.offsetHeight) pagesNode.style.setProperty("--row", `${full.node.offsetHeight}px`);
  keepCurrent();
};
