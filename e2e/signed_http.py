"""Signatures for the HTTP clients that protocol libraries bring along: `httpx`, and `httpx2`, which has the same shape."""

import urllib.parse


def signing(library, server):
    """Returns the `library`'s way to authenticate each request to the server by a signature of its key, made when it is sent."""

    class Signing(library.Auth):
        requires_request_body = True

        def auth_flow(self, request):
            url = urllib.parse.urlsplit(str(request.url))
            target = url.path + (f"?{url.query}" if url.query else "")
            signed = server.signed(request.method, target, request.content)
            for name in ("Authorization", "X-Amz-Date"):
                request.headers[name] = signed[name]
            yield request

    return Signing()
