"""The door where clerks' PCs ask for their certificates; it signs nothing."""
