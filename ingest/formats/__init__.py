"""Recording formats: one importer each, found by a file's content."""
