// The library is a grid of cards: one of them is in the way of Tab, the arrows go to the others.
let current = null; // its clip's number

const reachable = (node, on) => node.querySelectorAll("button, input").forEach((one) => { one.tabIndex = on ? 0 : -1; });

const setCurrent = (id) => {
  const before = nodes.get(current);
  if (before) reachable(before.node, false);
  current = id;
  const now = nodes.get(id);
  if (now) reachable(now.node, true);
};

// Some card is in the way of Tab, also when the one that was is gone or far away.
const keepCurrent = () => {
  if (!nodes.has(current)) setCurrent(nodes.keys().next().value ?? null);
};

const focusCurrent = () => {
  keepCurrent();
  nodes.get(current)?.node.querySelector(".lib-picture").focus();
};

const placeOf = (id) => {
  const row = rows.findIndex((one) => one.items.some((clip) => clip.id === id));
  return row < 0 ? null : [row, rows[row].items.findIndex((clip) => clip.id === id)];
};

const lastRow = () => rows.length - 1;
const lastIn = (row) => rows[row].items.length - 1;
const whole = (event) => event.ctrlKey || event.metaKey;
// Where a key leads from a row and its column; up and down stay in that as far as a row has it.
const LEADS = {
  ArrowRight: (row, column) => (column < lastIn(row) ? [row, column + 1] : row < lastRow() ? [row + 1, 0] : [row, column]),
  ArrowLeft: (row, column) => (column > 0 ? [row, column - 1] : row > 0 ? [row - 1, lastIn(row - 1)] : [row, column]),
  ArrowDown: (row, column) => (row < lastRow() ? [row + 1, Math.min(column, lastIn(row + 1))] : [row, column]),
  ArrowUp: (row, column) => (row > 0 ? [row - 1, Math.min(column, lastIn(row - 1))] : [row, column]),
  Home: (row, column, event) => [whole(event) ? 0 : row, 0],
  End: (row, column, event) => (whole(event) ? [lastRow(), lastIn(lastRow())] : [row, lastIn(row)]),
};

const onKey = (event) => {
  const held = event.target.closest(".lib-card");
  if (!held || event.altKey) return;
  const id = Number(held.dataset.id);
  const clip = clips.find((one) => one.id === id);
  if (event.key === "Enter" && event.target.matches(".lib-select")) { openClip(clip); return; }
  const lead = LEADS[event.key];
  const from = placeOf(id);
  if (!lead || !from || (/^Arrow/.test(event.key) && whole(event))) return;
  event.preventDefault();
  const [row, column] = lead(...from, event);
  if (!rows[row].node.firstChild) fill(rows[row]); // it was far away
  const next = rows[row].items[column];
  if (event.shiftKey) {
    anchor ??= id;
    extendTo(next);
  }
  nodes.get(next.id).node.querySelector(".lib-picture").focus();
};

const atWork = (event) => root.isConnected && root.offsetParent && !document.querySelector("dialog[open]")
  && (event.target === document.body || root.contains(event.target))
  && !event.target.matches("input[type=search], select");

{
  const grid = at(".lib-pages");
  grid.addEventListener("keydown", onKey);
  grid.addEventListener("focusin", (event) => {
    const held = event.target.closest(".lib-card");
    if (held && Number(held.dataset.id) !== current) setCurrent(Number(held.dataset.id));
  });
  const KEYS = {
    Escape: () => { if (selected.size) clearSelection(); },
    a: (event) => {
      if (!whole(event) || event.shiftKey || event.altKey) return;
      event.preventDefault();
      select(clips, true);
    },
  };
  document.addEventListener("keydown", (event) => {
    if (!event.defaultPrevented && atWork(event)) KEYS[event.key]?.(event);
  });
}
