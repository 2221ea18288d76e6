// A clip plays in its card while the mouse or the keyboard's focus rests on it. Nothing is fetched
// before, one plays at a time, and none where people want less motion.
const REST = 350; // milliseconds
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let resting = 0;
let shown = null; // the video

const endPreview = () => {
  clearTimeout(resting);
  if (!shown) return;
  shown.pause();
  shown.removeAttribute("src");
  shown.load(); // or the rest of it is fetched
  shown.remove();
  shown = null;
};

const beginPreview = (clip, picture) => {
  endPreview();
  if (calm.matches) return;
  resting = setTimeout(() => {
    if (!picture.isConnected) return;
    const video = make("video", { loop: true, playsinline: true, tabindex: -1, "aria-hidden": "true" });
    video.muted = true;
    video.addEventListener("error", () => { if (shown === video) endPreview(); }); // its file is gone
    video.addEventListener("playing", () => video.classList.add("seen"));
    video.src = place("clip", clip);
    picture.append(video);
    shown = video;
    video.play().catch(() => {});
  }, REST);
};

const previews = (clip, picture) => {
  picture.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") beginPreview(clip, picture); });
  picture.addEventListener("pointerleave", endPreview);
  picture.addEventListener("focus", () => { if (picture.matches(":focus-visible")) beginPreview(clip, picture); });
  picture.addEventListener("blur", endPreview);
};
calm.addEventListener("change", endPreview);
