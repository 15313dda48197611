"""What the agents share: `file_set` puts it into the zipapp of each one that imports it."""
