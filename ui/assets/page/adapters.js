// LoRAs: what the folder has for the chosen model, which are used, and how strongly.
const box = element.querySelector(".adapters");
const list = box.querySelector(".chosen");
const pick = box.querySelector("select");
const none = box.querySelector(".none");
const MOST = Number(box.dataset.most);
const STRONGEST = Number(box.dataset.strongest);
let entries = [];
const held = () => {
  try { return JSON.parse(window.headroomHeld || "{}").adapters || []; } catch { return []; }
};
// A pair's files are one entry, with one strength.
const used = () => {
  const now = new Map(held().map((one) => [one.sha256, one.strength]));
  return entries.filter((entry) => entry.files.some((file) => now.has(file)))
    .map((entry) => ({ entry, strength: now.get(entry.files.find((file) => now.has(file))) }));
};
const put = (wanted) => trigger("select", {
  adapters: wanted.flatMap(({ entry, strength }) => entry.files.map((sha256) => ({ sha256, strength }))),
});
const node = headroomNode;

const row = (one, all) => {
  const { entry, strength } = one;
  const number = node("output", { text: strength.toFixed(2) });
  const slider = node("input", { type: "range", min: -1, max: Math.min(2, STRONGEST), step: 0.05, value: strength,
    "aria-label": headroomText("script.lora_strength", { name: entry.name }),
    oninput: () => { number.textContent = Number(slider.value).toFixed(2); },
    onchange: () => put(all.map((other) => (other === one ? { entry, strength: Number(slider.value) || 0.05 } : other))) });
  const away = node("button", { type: "button", class: "lib-icon", "aria-label": headroomText("script.lora_remove", { name: entry.name }),
    onclick: () => put(all.filter((other) => other !== one)) }, headroomIcon("cancel"));
  const words = entry.triggers.length ? [node("p", { class: "triggers" }, headroomText("script.lora_triggers"), " ",
    ...entry.triggers.map((word) => node("button", { type: "button", translate: "no", text: word, onclick: () => say(word) })))] : [];
  const odd = entry.told ? [node("p", { class: "odd", text: entry.told })] : [];
  return node("li", {}, node("span", { class: "name", translate: "no", text: entry.name, title: entry.name }), slider, number, away, ...words, ...odd);
};
// A trigger word goes to the end of the prompt, as if it were typed.
const say = (word) => {
  const field = document.querySelector("#prompt textarea");
  if (!field || field.value.toLowerCase().includes(word.toLowerCase())) return;
  field.value = field.value.trim() ? `${field.value.trim()}, ${word}` : word;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};

const draw = () => {
  const all = used();
  list.replaceChildren(...all.map((one) => row(one, all)));
  box.querySelector(".count").textContent = all.length ? `(${all.length})` : "";
  const rest = entries.filter((entry) => !all.some((one) => one.entry === entry));
  const good = rest.filter((entry) => entry.fits);
  const bad = rest.filter((entry) => !entry.fits);
  const option = (entry) => {
    const made = node("option", { value: entry.name, text: entry.fits ? `${entry.name} (${entry.size})` : `${entry.name}: ${entry.told}` });
    made.disabled = !entry.fits;
    return made;
  };
  pick.replaceChildren(node("option", { value: "", text: headroomText("script.lora_add") }), ...good.map(option), ...bad.map(option));
  pick.hidden = !rest.length || held().length >= MOST;
  none.hidden = Boolean(good.length || all.length);
};
pick.addEventListener("change", () => {
  const entry = entries.find((one) => one.name === pick.value && one.fits);
  if (entry) put([...used(), { entry, strength: 1 }]);
});

let asked = "";
const look = async () => {
  const model = document.querySelector("#truth [data-model]")?.dataset.model;
  if (!model) return;
  asked = model;
  let found;
  try { found = await server.offered({ model }); } catch { return; }
  if (asked !== model) return;
  entries = found.entries;
  box.hidden = !found.takes;
  box.querySelector("code").textContent = found.folder;
  draw();
};
const follow = () => {
  const model = document.querySelector("#truth [data-model]")?.dataset.model;
  if (model && model !== asked) look();
};
// What comes from Hugging Face: the program fetches it, whether or not a page looks on.
const form = box.querySelector(".fetch");
const place = form.querySelector("input");
const coming = box.querySelector(".pulling");
const said = coming.querySelector(".said");
const bar = coming.querySelector(".bar");
const next = coming.querySelector("button");
let mine = false; // asked for here, so it is used once it has come
let waits = 0;
const pull = async (asked = {}) => {
  clearTimeout(waits);
  let told;
  try { told = await server.pulling(asked); } catch {
    if (asked.do) { coming.hidden = false; said.textContent = headroomText("script.start_again"); }
    return;
  }
  coming.hidden = told.phase === "none";
  if (said.textContent !== told.said) said.textContent = told.said; // readers hear it once
  coming.querySelector(".count").textContent = told.count;
  bar.hidden = told.share === null;
  bar.setAttribute("aria-valuenow", Math.round(100 * (told.share ?? 0)));
  bar.firstElementChild.style.width = `${100 * (told.share ?? 0)}%`;
  next.hidden = !told.next;
  next.textContent = told.next?.label ?? "";
  next.onclick = () => { mine = told.next.do !== "pause"; pull({ do: told.next.do, what: told.what }); };
  if (["looking", "working"].includes(told.phase)) waits = setTimeout(pull, 500);
  if (told.phase !== "done" || !mine) return;
  mine = false;
  place.value = "";
  await look();
  const entry = entries.find((one) => one.fits && one.files.some((file) => told.files.includes(file)));
  if (entry && held().length < MOST && !used().some((one) => one.entry === entry)) put([...used(), { entry, strength: 1 }]);
};
form.addEventListener("submit", (event) => {
  event.preventDefault();
  mine = false;
  if (place.value.trim()) pull({ do: "look", what: place.value });
});
box.addEventListener("toggle", () => { if (box.open) { look(); pull(); } }); // somebody may have put a file there
window.addEventListener("headroom-held", draw);
new MutationObserver(follow).observe(document.querySelector("#truth") ?? document.body, { childList: true, subtree: true });
follow();
