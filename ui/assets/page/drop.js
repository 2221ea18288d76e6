// A clip, dropped anywhere or chosen with the button: its receipt is read by the program, and its
// settings come back into the form.
const MOST = 256 * 1024 * 1024;
const veil = element.querySelector(".drop-veil");
const told = element.querySelector(".from-clip-told");
const choice = element.querySelector("input[type=file]");
document.body.append(veil); // over every tab, not only over its own
const say = (text, bad = true) => {
  told.textContent = text;
  told.classList.toggle("bad", bad);
  if (bad && !element.offsetParent) trigger("expand"); // it stands on a tab that isn't open
};

const isPicture = (file) => file.type.startsWith("image/") || /\.(heic|avif|webp|jpe?g|png|gif)$/i.test(file.name);

const send = async (where, file, more = {}) => headroomAnswer(await fetch(`${where}?${new URLSearchParams({ name: file.name, ...more })}`, {
  method: "POST", headers: { "Content-Type": "video/mp4", "X-Headroom": "1" }, body: file,
}));

const take = async (files) => {
  const [file] = files;
  if (!file) return;
  if ([...files].every(isPicture)) return; // pictures.js has them
  if (files.length > 1) return say(headroomText("script.drop_one"));
  if (!/\.mp4$/i.test(file.name)) return say(headroomText("script.drop_no_mp4", { file: file.name }));
  if (file.size > MOST) return say(headroomText("script.drop_too_large", { file: file.name }));
  say(headroomText("script.drop_reading", { file: file.name }), false);
  try {
    const found = await send("receipt", file);
    say(headroomText("script.drop_read", { file: file.name }), false);
    trigger("select", { request: found.request });
  } catch (error) {
    say(error instanceof TypeError ? headroomText("script.drop_not_sent") : error.message);
    if (error.told?.video) told.append(...offers(file).flatMap((made) => [" ", made]));
  }
};

// Another program's video has no settings, but it can be made smoother, or larger.
const SMOOTHER = 60;
const FULL_HD = 1080;
const offer = (file, label, asked, queued) => headroomNode("button", { type: "button", class: "lib-button", text: label,
  onclick: async () => {
    say(headroomText("script.drop_reading", { file: file.name }), false);
    try {
      say(queued(await send("video", file, asked)), false);
    } catch (error) {
      say(error instanceof TypeError ? headroomText("script.drop_not_sent") : error.message);
    }
  } });
const offers = (file) => [
  offer(file, headroomText("script.smooth_video", { n: SMOOTHER }), { fps: SMOOTHER }, () => headroomText("script.queued_smooth", { n: SMOOTHER })),
  offer(file, headroomText("script.enlarge_video", { n: FULL_HD }), { side: FULL_HD }, ({ size }) => headroomText("script.queued_enlarge", { size })),
];

choice.addEventListener("change", () => { take(choice.files); choice.value = ""; });

// Only files from outside: text that is dragged within the page stays Gradio's and the browser's.
const brings = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
let depth = 0;
const on = (name, act) => document.addEventListener(name, (event) => {
  if (!element.isConnected || !brings(event)) return;
  event.preventDefault();
  event.stopPropagation();
  act(event);
}, true);
on("dragenter", () => { depth += 1; veil.hidden = false; });
on("dragover", (event) => { event.dataTransfer.dropEffect = "copy"; });
on("dragleave", () => { depth -= 1; if (depth <= 0) { depth = 0; veil.hidden = true; } });
on("drop", (event) => {
  depth = 0;
  veil.hidden = true;
  const files = [...event.dataTransfer.files];
  if (!files.length || !files.every(isPicture)) { take(files); return; }
  // The veil lies over where it was dropped.
  const under = document.elementsFromPoint(event.clientX, event.clientY).map((one) => one.closest("[data-slot]")).find(Boolean);
  window.dispatchEvent(new CustomEvent("headroom-picture", { detail: { files, slot: under?.dataset.slot } }));
});
