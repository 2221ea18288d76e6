"""The page's parts: one file a part of a tab."""
