// The keyboard's shortcuts: one table that is both what keys do and the list that "?" opens, so that
// the list says what is so. A part that has keys of its own adds them:
//   headroomKeys.add({ keys: ["ArrowLeft"], group: "script.keys_library", does: "script.keys_before",
//     when: () => …, act: (event) => … })
// `keys`: as KeyboardEvent.key has them; "Mod+" is Ctrl, or ⌘ on a Mac. `when`: whether it can be done
// now (else the key is left to others). `typing`: also while a text is written. `modal`: also while a
// dialog is open. Without `act` it is the browser that does it, and the row is only told.
window.headroomKeys = (() => {
  const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
  const SIGNS = {
    Mod: MAC ? "⌘" : "Ctrl", Escape: "Esc", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓",
    " ": "␣", Delete: "Del",
  };
  const WRITES = "input:not([type=button],[type=checkbox],[type=color],[type=file],[type=radio],[type=range],[type=submit]),"
    + "textarea,select,[contenteditable=''],[contenteditable=true]";
  const table = [];
  const add = (row) => { table.push({ when: () => true, typing: false, modal: false, ...row }); };

  const pressed = (event, key) => {
    const [name, wantsMod] = key.startsWith("Mod+") ? [key.slice(4), true] : [key, false];
    if (event.key !== name) return false;
    // A sign may need AltGr, which Windows tells as Ctrl and Alt.
    if (event.getModifierState("AltGraph")) return !wantsMod;
    return (event.ctrlKey || event.metaKey) === wantsMod && !event.altKey;
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    const typing = Boolean(event.target.closest?.(WRITES));
    const modal = document.querySelector("dialog[open]") !== null;
    const row = table.find((one) => one.act && one.keys.some((key) => pressed(event, key))
      && (one.typing || !typing) && (one.modal || !modal) && one.when());
    if (!row) return;
    event.preventDefault();
    if (!event.repeat || row.repeats) row.act(event);
  }, true);

  // ---- the list -------------------------------------------------------------------------------

  const make = (tag, text = "", about = {}, ...inside) => {
    const node = Object.assign(document.createElement(tag), about);
    if (text) node.textContent = text;
    node.append(...inside);
    return node;
  };
  const signs = (key) => key.split(/(?<=.)\+(?=.)/).map((one) => make("kbd", SIGNS[one] ?? (one.length === 1 ? one.toUpperCase() : one)));
  const lines = (rows) => make("dl", "", {}, ...rows.map((row) => make("div", "", {},
    make("dt", "", { translate: false }, ...row.keys.flatMap((key, at) => [...(at ? [" "] : []), ...signs(key)])),
    make("dd", headroomText(row.does)))));
  const open = () => {
    if (document.querySelector("dialog.keys")) return;
    const groups = new Map();
    for (const row of table) {
      const rows = groups.get(row.group) ?? [];
      // Two lists of the library add the same keys.
      if (!rows.some((one) => one.does === row.does)) rows.push(row);
      groups.set(row.group, rows);
    }
    const title = make("h2", headroomText("script.keys"), { id: "keys-title" });
    const close = make("button", "", { type: "button", className: "head-tool" }, headroomIcon("cancel"));
    close.setAttribute("aria-label", headroomText("script.close"));
    const dialog = make("dialog", "", { className: "keys" }, make("div", "", { className: "keys-in" },
      make("div", "", { className: "keys-head" }, title, close),
      ...[...groups].flatMap(([group, rows]) => [make("h3", headroomText(group)), lines(rows)])));
    dialog.setAttribute("aria-labelledby", "keys-title");
    close.onclick = () => dialog.close();
    dialog.onclick = ({ target }) => { if (target === dialog) dialog.close(); }; // what lies around it
    dialog.onclose = () => dialog.remove();
    document.body.append(dialog);
    dialog.showModal(); // which remembers where the focus was, and gives it back
  };
  document.addEventListener("click", ({ target }) => { if (target.closest?.("[data-shortcuts]")) open(); });

  // ---- what the whole page knows --------------------------------------------------------------

  const GENERAL = "script.keys_everywhere";
  const seen = (selector) => [...document.querySelectorAll(selector)].find((node) => node.offsetParent);
  add({
    keys: ["Mod+Enter"], group: GENERAL, does: "script.keys_generate", typing: true,
    when: () => seen("#generate"),
    act: () => {
      // Gradio hears of a typed text a moment late; leaving the field makes it now.
      const field = document.activeElement;
      field?.blur();
      seen("#generate").click();
      field?.focus();
    },
  });
  add({
    keys: ["/"], group: GENERAL, does: "script.keys_prompt",
    when: () => document.querySelector("#prompt textarea"),
    act: () => {
      if (!seen("#prompt textarea")) seen("[role=tab][data-tab-id=make]")?.click();
      requestAnimationFrame(() => document.querySelector("#prompt textarea")?.focus());
    },
  });
  add({ keys: ["Escape"], group: GENERAL, does: "script.keys_close" });
  add({ keys: ["?"], group: GENERAL, does: "script.keys_list", modal: true, act: open });
  return { add };
})();
