"""A spoken interview that needs no account, no key and no download."""
