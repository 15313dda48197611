"""What Cre@tic adds to Plone: councils' meetings prepared, votes, numbers, documents, and their publication."""
