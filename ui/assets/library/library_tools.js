// Shared by the library's lists and dialogs.
const make = headroomNode;

// `body` makes it a POST, with the header that no page from elsewhere can send.
const ask = async (path, body) => {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Headroom": "1" },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(headroomText("script.start_again"));
  }
  return headroomAnswer(answer);
};

const place = (kind, clip, more = "") => `${kind}/${clip.id}?v=${clip.version}${more}`;
// Dates are in the page's language, as everything around them; of its kinds, the reader's own.
const LANGUAGE = navigator.languages.find((tag) => tag.startsWith(headroomLanguage)) || headroomLanguage;
const format = (about) => new Intl.DateTimeFormat(LANGUAGE, about);
const exact = format({ dateStyle: "medium", timeStyle: "short" });
const brief = format({ dateStyle: "short", timeStyle: "short" });
const hour = format({ timeStyle: "short" });
const dayInYear = format({ weekday: "long", day: "numeric", month: "long" });
const dayOfYears = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const when = (clip, style = exact) => style.format(new Date(clip.created));
const short = (clip, most = 60) => {
  const signs = [...clip.prompt];
  return signs.length > most ? `${signs.slice(0, most).join("")}…` : clip.prompt;
};
const button = (label, act, about = {}) =>
  make("button", { type: "button", class: "lib-button", text: label, onclick: act, ...about });

// Has its place before its file has come: what stands below doesn't move away from the pointer.
const film = (clip, about) => {
  const video = make("video", { src: place("clip", clip), playsinline: true, ...about });
  video.muted = true; // they have no sound, and browsers let only muted ones play by themselves
  video.style.setProperty("--shape", clip.width / clip.height);
  return video;
};

// A picture of a clip begins the next one: that after so many seconds, or its last, and then both
// become one file. pictures.js puts it into the form.
const beginWith = async (clip, seconds = null) => {
  const which = seconds === null ? "end" : `frame?at=${seconds.toFixed(4)}`;
  const { sha256, after } = await ask(`clip/${clip.id}/${which}`, {});
  window.dispatchEvent(new CustomEvent("headroom-picture", { detail: { pictures: { image: sha256 }, after } }));
};

// Frames a second that a clip was given last, or twice its own.
const RATE = "headroom-smooth";
const smoothRate = (clip) => {
  let kept = 0;
  try { kept = Number(localStorage.getItem(RATE)); } catch { /* a browser that keeps nothing */ }
  return clip.rates.includes(kept) ? kept : clip.rates.find((rate) => rate >= 2 * clip.fps) ?? clip.rates.at(-1);
};
const keepRate = (rate) => { try { localStorage.setItem(RATE, String(rate)); } catch { /* likewise */ } };
// The size that a clip was given last, by its shorter side: full HD to begin with.
const SIDE = "headroom-enlarge";
const shorter = ({ width, height }) => Math.min(width, height);
const pixels = ({ width, height }) => `${width} × ${height}`;
const largerSize = (clip) => {
  let kept = 1080;
  try { kept = Number(localStorage.getItem(SIDE)) || kept; } catch { /* likewise */ }
  return clip.larger.find((size) => shorter(size) === kept)
    ?? clip.larger.find((size) => size.height >= 2 * clip.height) ?? clip.larger.at(-1);
};
const keepSize = (size) => { try { localStorage.setItem(SIDE, String(shorter(size))); } catch { /* likewise */ } };
const familyOf = (clip) => ask(`clip/${clip.id}/versions`);
const versionsOf = async (clip) => (await familyOf(clip)).clips;
// A button for each of `all`, of which `clip` is on show.
const versionChips = (all, clip, open) => {
  const sizes = new Set(all.map(pixels)).size > 1;
  return all.map((one) => {
    const fps = headroomText("script.fps", { n: one.fps });
    return button(sizes ? `${pixels(one)} · ${fps}` : fps, () => open(one), { "aria-pressed": String(one.id === clip.id) });
  });
};
// Whether `clip` is held against what it was made from, or that against the newest made from it.
const pairOf = (clip, all) => (clip.is_version && clip.id !== all[0].id ? [all[0], clip] : [clip, all.at(-1)]);

const SIGNS = { bin: "trash", close: "cancel" };
const icon = (name) => {
  const svg = headroomIcon(SIGNS[name] ?? name);
  svg.classList.add("lib-svg", `lib-svg-${name}`);
  return svg;
};
const iconButton = (name, label, act, about = {}) => {
  const made = make("button", { type: "button", "aria-label": label, title: label, onclick: act, ...about, class: `lib-icon ${about.class || ""}` });
  made.append(icon(name));
  return made;
};

// A receipt comes in the reader's language; what stands in it is also people's and machines' words,
// of which none is to be taken for one of the page's.
const receiptTable = (rows) => make("table", { class: "receipt" }, make("tbody", {},
  ...rows.map(([name, value, why]) => make("tr", {},
    make("th", { scope: "row", text: name }),
    make("td", { translate: "no" }, make("span", { text: value }), make("div", { class: "why", text: why }))))));
