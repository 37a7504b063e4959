"""A private certificate authority and servers' certificates for tests, made by openssl(1)."""
import os
import ssl
import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.ca = self.path("ca.pem")
        openssl("req", "-x509", *KEY, "-keyout", self.path("ca.key"), "-out", self.ca, "-days", "2",
                "-subj", "/CN=a private authority")

    def path(self, name):
        return os.path.join(self.folder, name)

    def context(self, name, names="DNS:localhost,IP:127.0.0.1", days=2, self_signed=False):
        """A server's side of TLS with a certificate for these names, valid for so many days (0: over; OpenSSL 3.5 takes no -1)."""
        key, request, certificate = self.path(name + ".key"), self.path(name + ".csr"), self.path(name + ".pem")
        extensions = self.path(name + ".ext")
        with open(extensions, "w", encoding="ascii") as f:
            f.write("subjectAltName=" + names)
        openssl("req", *KEY, "-keyout", key, "-out", request, "-subj", "/CN=" + name)
        signer = ["-signkey", key] if self_signed else ["-CA", self.ca, "-CAkey", self.path("ca.key"),
                                                        "-CAcreateserial"]
        openssl("x509", "-req", "-in", request, *signer, "-days", str(days), "-extfile", extensions,
                "-out", certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context
