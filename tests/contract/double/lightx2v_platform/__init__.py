"""A double of the package that tells LightX2V which device it drives."""
