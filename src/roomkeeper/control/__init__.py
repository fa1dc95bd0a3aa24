"""The control plane: issues access tokens and serves the pages.

```
app       the routes and what wraps them      server    runs the app
tokens    POST /api/token                     config    its settings
assets    the built pages                     problems  errors as RFC 9457 answers
```
"""
