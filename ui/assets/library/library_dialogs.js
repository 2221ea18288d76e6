// A clip with all that can be done with it.
const openDialog = (label, ...inside) => {
  const close = () => dialog.close();
  const dialog = make("dialog", { class: "lib-dialog", "aria-label": label },
    make("div", { class: "lib-dialog-in" },
      make("div", { class: "lib-head" }, make("h2", { text: label }),
        iconButton("close", headroomText("script.close"), close)),
      ...inside));
  // A press on what lies around it closes it, too; everything of its own is inside a child.
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  dialog.addEventListener("close", () => {
    dialog.querySelectorAll("video").forEach((video) => { video.pause(); video.removeAttribute("src"); video.load(); });
    dialog.remove();
  });
  element.append(dialog);
  dialog.showModal();
  return dialog;
};

// `acts`: buttons, each with what it does; what it returns is told, and true closes the dialog.
const showClip = (clip, acts) => {
  const told = make("p", { class: "lib-told", role: "status" });
  const video = film(clip, { controls: true, loop: true, autoplay: true });
  const receipt = make("details", {}, make("summary", { text: headroomText("script.receipt") }));
  receipt.addEventListener("toggle", async () => {
    if (!receipt.open || receipt.querySelector("table")) return;
    try {
      receipt.append(receiptTable((await ask(`clip/${clip.id}/receipt`)).rows));
    } catch (error) {
      told.textContent = error.message;
    }
  });
  const row = make("div", { class: "lib-acts" });
  const { size, seed, model } = clip;
  const facts = headroomText("script.clip_facts", { size, seed, model, when: when(clip) });
  const dialog = openDialog(headroomText("script.clip"), video,
    make("p", { class: "lib-prompt", translate: "no", text: clip.prompt }),
    make("p", { class: "lib-facts", text: facts }), row, told, receipt);
  for (const [label, act] of acts) {
    row.append(button(label, async () => {
      told.textContent = "";
      try {
        const said = await act(video);
        if (said === true) dialog.close(); else told.textContent = said || "";
      } catch (error) {
        told.textContent = error.message;
      }
    }));
  }
  row.append(make("a", { class: "lib-button", href: place("clip", clip, "&download=1"), download: "", text: headroomText("script.download") }));
  return dialog;
};
