"""What the pages show, as values: read from ledger, lake, registry and plans; one module a page, nothing is written."""
