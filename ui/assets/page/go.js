// An example was put into the prompt: the press that belongs to it, where that makes a clip.
() => {
  const ready = document.querySelector("#truth [data-step=generate], #truth [data-step=queue]");
  if (ready) document.querySelector("#generate")?.click();
}
