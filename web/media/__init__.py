"""The sound of recordings and what is drawn of it, as responses: the same for pages and for programs."""
