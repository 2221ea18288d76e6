"""Finished clips: MP4s with their receipts, the store's rows, files that come and go by hand."""
