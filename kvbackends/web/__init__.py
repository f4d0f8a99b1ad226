"""Results, chords and the store's health in a browser.

`app_for` makes an ASGI application to be mounted; ``kvbackends web`` serves it.  It stands on
`kvbackends.admin` and on nothing else, works without network, and changes nothing unless asked to.
Needs the extra ``kvbackends[web]``.
"""

from kvbackends.web.gate import Login
from kvbackends.web.site import app_for, app_of

__all__ = ["Login", "app_for", "app_of"]
