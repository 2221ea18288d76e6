// What the form holds besides words has changed: pictures.js draws it.
(held) => { window.headroomHeld = held ?? ""; window.dispatchEvent(new Event("headroom-held")); }
