"""Everything that is kept: the database, the embedded server that runs it, and files."""
