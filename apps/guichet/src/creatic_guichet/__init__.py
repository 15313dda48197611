"""The door of machines that nobody can reach: gives each its own part, and keeps what it says."""
