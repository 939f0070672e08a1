"""An issuer of tokens on loopback: discovery, one RSA key, and as many tokens as somebody wants, signed by itself."""

import base64
import json
import threading
import time
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT = "bench"


class Issuer:
    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"
        self.key = rsa.generate_private_key(65537, 2048)
        self.key_id = str(uuid.uuid4())

    def documents(self) -> dict[str, dict]:
        """By path."""
        numbers = self.key.public_key().public_numbers()
        jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id} | {
            name: encoded(value.to_bytes((value.bit_length() + 7) // 8, "big")) for name, value in (("n", numbers.n), ("e", numbers.e))
        }
        discovery = {
            "issuer": self.url, "jwks_uri": f"{self.url}/keys", "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token", "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return {"/.well-known/openid-configuration": discovery, "/keys": {"keys": [jwk]}}

    def token(self) -> str:
        """One of its own, good for a day."""
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "alice", "aud": "agents", "client_id": CLIENT, "scope": "invoke", "iat": now,
            "exp": now + 86400, "jti": str(uuid.uuid4()),
        }
        head = {"alg": "RS256", "typ": "at+jwt", "kid": self.key_id}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{encoded(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def running_issuer():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(server.server_address[1])
        documents = issuer.documents()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield issuer
        finally:
            server.shutdown()
