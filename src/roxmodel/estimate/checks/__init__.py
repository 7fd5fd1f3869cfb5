"""Whether a fit may be trusted: every check of it, and what each found."""
