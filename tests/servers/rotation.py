"""An OAuth2 server of Authlib's that gives a new refresh token with each use and refuses the one before: what it keeps is here, in
memory; the protocol is Authlib's. A program: it prints its port.

    POST /token      grants `password` and `refresh_token`
    GET /items       for who has an access token, which is good for one request: three pages by `page`,
                     {"items": [{"page": 0, "n_refreshed": 1}], "next": 1}
"""

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET = "me", "s3cret/%"
USER, PASSWORD = "somebody", "pass"
N_PAGES = 3


class Client(ClientMixin):
    """The only client."""

    client_id = CLIENT_ID

    def check_client_secret(self, client_secret):
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return grant_type in ("password", "refresh_token")

    def get_allowed_scope(self, scope):
        return scope or ""


class Token(TokenMixin):
    """What was given."""

    def __init__(self, given):
        self.given = given
        self.is_spent = False  # its access token
        self.is_replaced = False  # its refresh token

    def check_client(self, client):
        return client.client_id == CLIENT_ID

    def get_scope(self):
        return self.given.get("scope", "")

    def is_expired(self):
        return self.is_spent

    def is_revoked(self):
        return False


class Password(grants.ResourceOwnerPasswordCredentialsGrant):
    """How the first refresh token is had."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def authenticate_user(self, username, password):
        return USER if (username, password) == (USER, PASSWORD) else None


class Refresh(grants.RefreshTokenGrant):
    """A refresh token is good for one time."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        found = (one for one in tokens if one.given.get("refresh_token") == refresh_token)
        return next((one for one in found if not one.is_replaced), None)

    def authenticate_user(self, refresh_token):
        return USER

    def revoke_old_credential(self, refresh_token):
        refresh_token.is_replaced = True


class Validator(BearerTokenValidator):
    """Knows the access tokens."""

    def authenticate_token(self, token_string):
        return next((one for one in tokens if one.given["access_token"] == token_string), None)


tokens: list[Token] = []
app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(
    app, query_client=lambda _: Client(), save_token=lambda given, _: tokens.append(Token(given))
)
server.register_grant(Password)
server.register_grant(Refresh)
protected = ResourceProtector()
protected.register_token_validator(Validator())


@app.post("/token")
def token():
    """Authlib's answer."""
    return server.create_token_response()


@app.get("/items")
@protected()
def items():
    """A page; the access token has had its use."""
    page = int(request.args.get("page", 0))
    current_token.is_spent = True
    row = {"page": page, "n_refreshed": sum(one.is_replaced for one in tokens)}
    return jsonify({"items": [row], "next": page + 1 if page + 1 < N_PAGES else None})


if __name__ == "__main__":
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"listens on {listening.port}", flush=True)
    listening.serve_forever()
