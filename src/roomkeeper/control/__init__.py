"""The control plane: keeps sessions, tells everybody, issues access tokens and serves the pages.

```
app       the routes and what wraps them      server    runs the app
sessions  /api/sessions                       admin     who calls, and what they reach
explain   why a session went as it did        words     every event in words
plane     the parts of it put together        report    what a conversation was
tokens    POST /api/token                     config    its settings
assets    the built pages                     problems  errors as RFC 9457 answers
```
"""
