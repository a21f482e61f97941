"""Ray, its machines, and what they share: storage, databases and locks."""
