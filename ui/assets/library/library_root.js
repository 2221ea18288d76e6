// What the library's scripts are about: the list on its own tab.
const root = element.querySelector(".library");
const at = (selector) => root.querySelector(selector);
