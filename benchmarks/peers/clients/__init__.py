"""Load generators for the peers that need a client of their own. They import no more than that."""
