"""What lies on disk: rows, journals, manifests, locks, fingerprints."""
