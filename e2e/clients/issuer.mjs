// A certified OpenID provider for test_jwt.py. Reads one JSON object from its first argument: port (0: a free one), and, for TLS, key and
// cert. Prints its issuer once it listens. A line `rotate` on standard input gives it new keys; its end ends it. The resource that a token
// is for names its algorithm, urn:agents:RS256, or is a URL.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import readline from "node:readline";
import Provider from "oidc-provider";

const { port, key, cert } = JSON.parse(process.argv[2]);
const server = key ? https.createServer({ key, cert }) : http.createServer();
server.listen(port, "127.0.0.1");
await once(server, "listening");
const issuer = `${key ? "https" : "http"}://127.0.0.1:${server.address().port}`;

const jwk = (type, options) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig" };
};
const keys = () => [
  jwk("rsa", { modulusLength: 2048 }),
  ...["P-256", "P-384", "P-521"].map((namedCurve) => jwk("ec", { namedCurve })),
  jwk("ed25519"),
];

const client = (client_id, grant_types) => ({
  client_id,
  client_secret: `secret of ${client_id}`,
  grant_types,
  redirect_uris: grant_types.includes("authorization_code") ? ["http://127.0.0.1/callback"] : [],
  response_types: grant_types.includes("authorization_code") ? ["code"] : [],
});
const configuration = () => ({
  clients: [client("program", ["client_credentials"]), client("other", ["client_credentials"]), client("browser", ["authorization_code"])],
  cookies: { keys: ["a key for cookies"] },
  scopes: ["openid", "invoke", "read"],
  jwks: { keys: keys() },
  claims: { openid: ["sub"] },
  extraTokenClaims: () => ({ team: "blue", groups: ["staff", "admins"] }),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "invoke read",
        audience: "agents",
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: resource.startsWith("urn:") ? resource.split(":").at(-1) : "RS256" } },
      }),
    },
  },
});

let provider;
const renew = () => {
  provider = new Provider(issuer, configuration()).callback();
};
renew();
server.on("request", (request, response) => provider(request, response));
console.log(JSON.stringify({ issuer }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  if (line === "rotate") {
    renew();
    console.log(JSON.stringify({ rotated: true }));
  }
}
process.exit(0);
