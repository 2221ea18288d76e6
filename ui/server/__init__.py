"""What every request to the page's server passes."""
