"""`creatic-archive`: what an archive node says of itself and of its room, and how it leaves and rejoins service."""
