"""Words that every room uses: errors, findings, addresses, sizes, dates, settings, paths."""
