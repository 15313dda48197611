"""Login shell of the accounts that only a certificate opens: every session is recorded, and ends with it."""
