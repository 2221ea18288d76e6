// An element of the page. Text is only ever set with textContent or setAttribute: no prompt can
// become markup.
window.headroomNode = (tag, about = {}, ...inside) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...inside);
  return node;
};
