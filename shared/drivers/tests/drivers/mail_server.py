"""A mail server that asks for a login: aiosmtpd with STARTTLS, or with TLS from the first byte. Mail goes to a file."""
import asyncio
import ssl
import sys

from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP, AuthResult

folder, port, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]


class Keep(Message):
    def handle_message(self, message):
        with open(folder + "/mail", "ab") as file:
            file.write(message.as_bytes() + b"\n.\n")


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"muster", b"hidden"), handled=False)


def protocol():
    starttls = {"tls_context": context, "require_starttls": True} if way == "starttls" else {}
    # aiosmtpd only knows of a connection that it secured itself.
    return SMTP(Keep(), authenticator=authenticate, auth_required=True, auth_require_tls=way == "starttls", **starttls)


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", port, ssl=context if way == "wrapped" else None)
    await server.serve_forever()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
asyncio.run(serve())
