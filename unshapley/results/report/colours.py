"""The colours of all pages and pictures; a page's style has them as CSS variables."""

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c2530",
    "soft": "#4a5561",
    "line": "#dde2e7",
    "grey": "#9aa3ad",
    "blue": "#2563a8",
    "red": "#b3382c",
    "good": "#1d7a3e",
    "warn": "#8a5a00",
    "tint": "#fdf0ee",
}
DARK = {
    "paper": "#14191f",
    "ink": "#e6eaee",
    "soft": "#aeb8c2",
    "line": "#333d48",
    "grey": "#7d8893",
    "blue": "#7ab2ee",
    "red": "#f08a7d",
    "good": "#6cc58c",
    "warn": "#e0b25a",
    "tint": "#33211f",
}
