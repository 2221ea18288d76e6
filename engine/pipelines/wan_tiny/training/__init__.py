"""How the tiny model was trained and is judged. Nothing here runs for a user."""
