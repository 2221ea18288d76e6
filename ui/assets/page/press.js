// What stands on the button as it is pressed, ahead of the form's values.
(_, ...rest) => [document.querySelector("#truth [data-step]")?.dataset.step ?? "", ...rest]
