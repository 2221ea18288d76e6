// The icons of ui/assets/icons.json for scripts. Without a label an icon is decoration: the button
// around it has the name.
window.headroomIcon = (name, label = "") => {
  const drawn = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const icon = drawn("svg", {
    class: `icon icon-${name}`, viewBox: "0 0 24 24", width: "1.25em", height: "1.25em",
    fill: name.endsWith("-filled") ? "currentColor" : "none", stroke: "currentColor", "stroke-width": "1.75",
    "stroke-linecap": "round", "stroke-linejoin": "round", focusable: "false",
    ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }),
  });
  icon.append(drawn("path", { d: window.headroomIcons[name] }));
  return icon;
};
