"""Writers: bulk, single, automatic choice, dry run; and deletions."""
