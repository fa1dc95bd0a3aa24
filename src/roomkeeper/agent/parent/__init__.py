"""What runs in the parent of a worker's jobs: it ships their spools and passes on what the control plane says."""
