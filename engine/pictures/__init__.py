"""Pictures that clips begin and end with: what one must be, where it is kept, how it is cut."""
