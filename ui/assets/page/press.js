// What stands on the button as it is pressed, ahead of the form's values.
(_, ...rest) => {
  const step = document.querySelector("#truth [data-step]")?.dataset.step ?? "";
  if (step === "picture") window.dispatchEvent(new Event("headroom-choose-picture"));
  return [step, ...rest];
}
