"""Colours and type: quiet, with one accent; fonts come with gradio, so nothing is fetched."""

from pathlib import Path

import gradio as gr

ASSETS = Path(__file__).parent / "assets"
CSS = [ASSETS / "page/page.css", ASSETS / "library/library.css", ASSETS / "page/models.css"]


def theme() -> gr.themes.Base:
    # Gradio 6.31 ships the semibold (600) of this family without half of its letters.
    weights = (400, 700)
    sans = [gr.themes.LocalFont("IBM Plex Sans", weights), "system-ui", "sans-serif"]
    mono = [gr.themes.LocalFont("IBM Plex Mono", weights), "ui-monospace", "monospace"]
    return gr.themes.Base(
        primary_hue="emerald", neutral_hue="slate", radius_size="md", font=sans, font_mono=mono
    ).set(
        # White on emerald-500 has a contrast of 2.5; on 700 it is 5.5 (WCAG AA asks for 4.5).
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        # Slate-400 has 2.6 on white, slate-500 4.8.
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        block_label_text_weight="600",
    )
