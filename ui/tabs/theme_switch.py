"""The button that changes between the system's theme, light and dark, of both pages.

``ui/assets/page/theme.js`` does it. The button holds a picture and a name for each choice, and the
style shows one: nothing has to be drawn by a script, or translated by one.
"""

from ui.icons import icon

CHOICES = {
    "system": ("system", "Theme: as the system"),
    "light": ("sun", "Theme: light"),
    "dark": ("moon", "Theme: dark"),
}


def theme_switch_html(classes: str = "head-tool") -> str:
    shown = "".join(
        f'<span class="theme-{choice}">{icon(drawn)}<span class="only-heard">{name}</span></span>'
        for choice, (drawn, name) in CHOICES.items()
    )
    return f'<button type="button" class="{classes}" data-theme-switch>{shown}</button>'
