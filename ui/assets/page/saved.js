(listed, said, mark, ...form) => {
  const kept = mark ? JSON.parse(mark) : []; // null: whatever the form has
  return kept.every((value, n) => value === null || value === form[n]) ? [listed, said, mark] : ["", "", ""];
}
