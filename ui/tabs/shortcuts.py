"""The button that lists the keyboard's shortcuts; ``ui/assets/page/shortcuts.js`` has them."""

BUTTON = (
    '<button type="button" class="head-tool" data-shortcuts aria-haspopup="dialog" '
    'aria-label="Keyboard shortcuts" title="Keyboard shortcuts"><span aria-hidden="true">?</span>'
    "</button>"
)
