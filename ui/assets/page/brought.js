// What stays as it is isn't told again: an answer that comes meanwhile would be undone by it.
(said, ...form) => {
  const same = { __type__: "update" };
  const brought = /data-brought='([^']*)'/.exec(said ?? "");
  if (!brought) return same;
  const kept = JSON.parse(decodeURIComponent(brought[1])); // null: whatever the form has
  return kept.every((value, n) => value === null || value === form[n]) ? same : "";
}
