"""The control plane: issues tokens and serves the pages."""
