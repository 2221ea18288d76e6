// Pictures that a clip begins and ends with: chosen here, dropped anywhere or pasted. What the form
// holds comes from the program (held.js), so that this only draws it and asks for another.
const MOST = 50_000_000;
const box = element.querySelector(".pictures");
const told = box.querySelector(".told");
const slots = [...box.querySelectorAll(".slot")];
const say = (text, bad = true) => {
  told.textContent = text;
  told.classList.toggle("bad", bad);
};
const held = () => {
  try { return JSON.parse(window.headroomHeld || "{}"); } catch { return {}; }
};

const draw = () => {
  const now = held();
  box.toggleAttribute("data-some", Boolean(now.image || now.last_image));
  for (const slot of slots) {
    const sha = now[slot.dataset.slot];
    const figure = slot.querySelector("figure");
    figure.hidden = !sha;
    slot.querySelector(".choose").hidden = Boolean(sha);
    const img = slot.querySelector("img");
    if (sha && img.dataset.sha !== sha) { img.src = `picture/${sha}`; img.dataset.sha = sha; }
    if (!sha) { img.removeAttribute("src"); delete img.dataset.sha; }
  }
  slots[1].hidden = !now.image && !now.last_image;
  box.dataset.fit = now.fit || "crop";
  for (const one of box.querySelectorAll("[data-fit]")) one.setAttribute("aria-pressed", String(one.dataset.fit === box.dataset.fit));
  shape();
};
// What is seen of a picture is what the chosen size leaves of it.
const shape = () => {
  const truth = document.querySelector("#truth [data-model]")?.dataset;
  if (!truth) return;
  box.style.setProperty("--wide", truth.wide);
  box.style.setProperty("--high", truth.high);
  const odd = slots.some((slot) => {
    const img = slot.querySelector("img");
    if (!img.naturalWidth) return false;
    const ratio = (img.naturalWidth / img.naturalHeight) / (truth.wide / truth.high);
    return Math.max(ratio, 1 / ratio) > 1.01; // nothing to choose for a shape that fits
  });
  box.querySelector(".fit").hidden = !odd;
};
window.addEventListener("headroom-held", draw);
for (const slot of slots) slot.querySelector("img").addEventListener("load", shape);
new MutationObserver(shape).observe(document.querySelector("#truth") ?? document.body, { childList: true, subtree: true });

const send = async (file) => {
  const answer = await fetch(`picture?${new URLSearchParams({ name: file.name || "" })}`, {
    method: "POST", headers: { "Content-Type": "application/octet-stream", "X-Headroom": "1" }, body: file,
  });
  return (await headroomAnswer(answer)).sha256;
};
// Two at once are the first and the last one.
const take = async (files, slot) => {
  const some = [...files].slice(0, 2);
  const where = some.length === 2 ? ["image", "last_image"] : [slot];
  say("", false);
  try {
    const put = {};
    for (const [n, file] of some.entries()) {
      const name = file.name || headroomText("script.picture_pasted");
      if (file.size > MOST) throw new Error(headroomText("script.picture_too_large", { file: name }));
      say(headroomText("script.drop_reading", { file: name }), false);
      put[where[n]] = await send(file);
    }
    say("", false);
    trigger("select", { pictures: put });
  } catch (error) {
    say(error instanceof TypeError ? headroomText("script.picture_not_sent") : error.message);
  }
};

for (const slot of slots) {
  const name = slot.dataset.slot;
  const choice = slot.querySelector("input[type=file]");
  choice.addEventListener("change", () => { const files = [...choice.files]; choice.value = ""; if (files.length) take(files, name); });
  slot.querySelector(".remove").addEventListener("click", () => trigger("select", { pictures: { [name]: "" } }));
}
for (const one of box.querySelectorAll("[data-fit]")) one.addEventListener("click", () => trigger("select", { fit: one.dataset.fit }));

// Another part of the page has pictures: files that were dropped, or one that is kept already.
window.addEventListener("headroom-picture", ({ detail }) => {
  if (!element.isConnected) return;
  if (detail.files) take(detail.files, detail.slot || "image");
  else trigger("select", { pictures: detail.pictures, after: detail.after });
});
window.addEventListener("headroom-choose-picture", () => slots[0].querySelector("input[type=file]").click());
document.addEventListener("paste", (event) => {
  if (!element.isConnected) return;
  const files = [...(event.clipboardData?.files || [])].filter((file) => file.type.startsWith("image/"));
  if (!files.length) return;
  event.preventDefault();
  take(files, held().image && event.target.closest?.("[data-slot=last_image]") ? "last_image" : "image");
});
draw();
